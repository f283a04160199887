# CPU:   docker build --target cpu -t codeact:cpu .
# CUDA:  docker build --target cuda -t codeact:cuda .
# Use:   docker run --rm --user "$(id -u)" -v "$PWD:/work" codeact:cpu select data.jsonl --model demo -o selected.jsonl
#        docker run --rm --user "$(id -u)" --gpus all -v "$PWD:/work" -v ~/.cache/huggingface:/home/user/.cache/huggingface codeact:cuda run recipe.yaml
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# bubblewrap: the sandbox for generated code; where the container forbids user namespaces, Landlock is used (codeact doctor).
# Kernels that torch compiles need a C compiler.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# any user (docker run --user) may keep models and caches in this home
RUN useradd --create-home --uid 1000 user && mkdir /work && chown user /work && chmod 1777 /home/user
ENV HOME=/home/user
COPY pyproject.toml hatch_build.py README.md LICENSE constraints.txt /src/
COPY recipes /src/recipes
COPY docs /src/docs
COPY src /src/src
WORKDIR /work
ENTRYPOINT ["codeact"]
CMD ["--help"]

FROM base AS cpu
# the version is that of constraints.txt
# hadolint ignore=DL3013
RUN torch="$(grep '^torch==' /src/constraints.txt)" \
    && pip install --index-url https://download.pytorch.org/whl/cpu "$torch" \
    && pip install --constraint /src/constraints.txt '/src[demo,curate,datasets,judge]'
USER 1000

# The torch of PyPI brings CUDA's libraries; the host needs the driver and NVIDIA's container toolkit.
FROM base AS cuda
RUN pip install --constraint /src/constraints.txt '/src[demo,curate,datasets,judge,gpu,kernels]'
USER 1000
