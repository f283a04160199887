"""Bodies of `f()` that import, and look for packages, paths and metadata."""

from __future__ import annotations

SECTIONS = r"""
## guarded import of a package
try:
 import regex as re
except ImportError:
 import re
return re.sub('a', 'b', 'aa')
## guarded pandas
try:
 import pandas
except ImportError:
 return 'none'
return 'pandas'
## guarded submodule
try:
 from scipy.special import comb
except ImportError:
 from math import comb
return comb(5, 2)
## guarded yaml
try:
 import yaml
 return yaml.safe_load('1')
except ModuleNotFoundError as e:
 return e.name
## unguarded package
import regex
return 1
## unguarded torch
import torch
return 1
## find_spec
import importlib.util
return [importlib.util.find_spec(n) is None for n in ('regex', 'yaml', 'pip', 'json', 'numpy')]
## import_module
import importlib
return met(lambda: importlib.import_module('pytest'))
## metadata
import importlib.metadata as m
return [met(lambda: m.version(n)) for n in ('numpy', 'pytest')]
## distributions
import importlib.metadata as m
return sorted({d.metadata['Name'] for d in m.distributions()})
## iter_modules
import pkgutil
names = {m.name for m in pkgutil.iter_modules()}
return [n in names for n in ('json', 'regex', 'numpy', 'pytest')]
## numpy
import numpy as np
return [np.linalg.norm([3, 4]), np.random.default_rng(0).integers(9), np.fft.fft([1, 0]).tolist()]
## numpy files
import numpy as np
return met(lambda: np.save('x.npy', [1])), met(lambda: np.loadtxt('x.txt'))
## numpy site
import numpy, os
return met(lambda: len(os.listdir(os.path.dirname(os.path.dirname(numpy.__file__)))))
## sys.path append
import sys
sys.path.insert(0, '.')
sys.path.append('/tmp')
return met(lambda: __import__('helper'))
## sys.path
import sys
return sys.path == list(dict.fromkeys(sys.path)), any('site-packages' in p for p in sys.path)
## standard library
import tomllib, graphlib, zoneinfo, lzma, bz2, zlib, ssl, sqlite3, curses.ascii, xml.dom, email, http.client
return 1
## pip
return met(lambda: __import__('pip')), met(lambda: __import__('setuptools'))
## runpy
import runpy
return met(lambda: runpy.run_module('this_is_not')), met(lambda: runpy.run_path('x.py'))
"""
