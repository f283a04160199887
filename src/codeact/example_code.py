"""Is it a test, a load test, an example or documentation? What such code logs in with and writes to is made up."""

from __future__ import annotations

import re

_EXAMPLE = re.compile(
    r"^[^\S\n]*(?:async )?def test_\w|\bclass (?:Test[A-Z_]\w*|\w+Tests?(?:Case|Base|Suite)?)\b|\b(?:import|from) (?:unittest|pytest|locust|nose)\b|\bself\.assert[A-Z_]|"
    r"@(?:pytest|mock|unittest)\b|\b(?:TestCase|HttpUser|HttpLocust|TaskSet|MagicMock|MockMvc|Mockito|Gatling|monkeypatch)\b|"
    r"^[^\S\n]*(?:describe|it|test|context)(?:\.\w+)?\(\s*['\"`]|\bexpect\([^\n]{1,120}\)\.(?:to|not|resolves|rejects)|\bjest\.|['\"]k6(?:/http)?['\"]|\bcy\.(?:get|visit)\(|"
    r"@(?:Test|ParameterizedTest|BeforeEach|AfterEach|BeforeAll|BeforeClass|SpringBootTest)\b|\bassert(?:Equals|That|True|False|NotNull|Null|Throws)\(|\borg\.junit\b|"
    r"\*testing\.[TBM]\b|#\[(?:\w+::)?test\b|#\[cfg\(test\)\]|\bassert_(?:eq|ne)!\(|"
    r"\b(?:TEST|TEST_F|TEST_P|TEST_CASE|TEST_METHOD|BOOST_AUTO_TEST_CASE|DROGON_TEST)\(|\bEXPECT_[A-Z]{2,8}\(|"
    r"\b(?:CPPUNIT|QCOMPARE|QVERIFY|BOOST_TEST|munit|cmocka)\w*|\bload[ -]?test|\[(?:Fact|Theory|TestMethod)\]",
    re.MULTILINE,
)
_ASSERTED = re.compile(r"^\s*(?:>>>|assert\b)|\bassert[\w.]*!?\(|\bexpect(?:ed)?\w*\b|\.should\b|\bshould(?:\.|(?-i:[A-Z]))", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s)/\*", re.MULTILINE)  # not as in a pattern of paths
_CREDITED = re.compile(
    r"@authors?\b|\bauthors?\W{0,3}[:=]|copyright|\(c\)|©|\bmaintain\w*\W{0,3}[:=]|signed-off-by|"
    r"\b(?:written|created|contributed|reported) by\b(?! [a-z](?-i:[a-z]+ing)\b)|作者",
    re.IGNORECASE,
)
_CREDIT = 160  # characters before an address in which somebody is credited
_EXAMPLE_PATH = re.compile(
    r"(?:^|[/\\])(?:\w+[-_.])?(?:tests?|testing|testsuites?|testdata|specs?|__tests__|__mocks__|unit_?tests?|regress\w*|t|e2e|cypress|playwright|selenium|jmeter|swagger|stor(?:ies|ybook)|fixtures?|mocks?|stubs?|examples?|samples?|demos?|playgrounds?|"
    r"tutorials?|suites|ci|docs?|documentation|articles?|blogs?|benchmarks?|bench|load[-_]?tests?|perf|fuzz\w*|seeds?|docs?_src|snippets)(?:[-_.]\w+)?[/\\]"
    r"|(?:^|[/\\])(?:test[_-][^/\\]*|conftest\.\w+|locustfile[^/\\]*|factories\.\w+|[^/\\]*[._-](?:tests?|spec|e2e|stories|mock|sample|example)\.\w+|(?-i:[^/\\]*(?:Tests?|IT|Spec))\.\w+)$",
    re.IGNORECASE,
)
_PROSE_FILE = re.compile(r"\.(?:md|mdx|rst|adoc|asciidoc|html?|po|1)$|(?:^|[/\\])(?:readme|changelog|news|history|faq)[^/\\]*$", re.IGNORECASE)


def is_example(text: str) -> bool:
    """Whether code looks like a test, or a load test."""
    return _EXAMPLE.search(text) is not None


def is_asserted(text: str, position: int) -> bool:
    """Whether the line there says what a test expects or a session types, or is of a comment's block, as answers of servers are shown there."""
    closed = text.rfind("*/", 0, position)
    return _ASSERTED.search(_line(text, position)) is not None or _COMMENT.search(text, max(closed, 0), position) is not None


def is_credited(text: str, position: int) -> bool:
    """Whether the line there says who wrote something, before that position."""
    start = text.rfind("\n", 0, position) + 1
    return _CREDITED.search(text[max(start, position - _CREDIT) : position]) is not None


def _line(text: str, position: int) -> str:
    return text[text.rfind("\n", 0, position) + 1 :].partition("\n")[0]


def is_example_path(path: str) -> bool:
    """Whether tests, examples, samples or documentation lie there."""
    return _EXAMPLE_PATH.search(path) is not None or _PROSE_FILE.search(path) is not None
