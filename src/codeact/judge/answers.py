"""How a judge's answer is read: strictly. A text that is not clearly one rating is a status, never a number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from codeact.spoken import spoken

Status = Literal["ok", "unparsed", "ambiguous", "out_of_range", "no_answer", "too_long", "unsure"]


@dataclass(frozen=True, slots=True)
class Rating:
    """What a judge said of one record.

    Attributes:
        value: on the rubric's scale; None unless the status is ok.
        status: ok; unparsed (no rating found), ambiguous (several that differ), out_of_range; no_answer (the endpoint failed),
            too_long (beyond the judge's context), unsure (a local judge that does not answer with a digit).
        detail: the answer's beginning, or the endpoint's error, where the status is not ok.
    """

    value: float | None
    status: Status
    detail: str = ""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.VERBOSE)


# Parts of patterns; blanks are one blank each by then, and quotation marks and emphasis are gone.
# A decimal comma has at most two digits behind it: `1,000` is no rating.
_NUMBER = r"(?: \d++ (?: \.\d++ | ,\d{1,2}(?!\d) )?+ )"
_UNIT = r"(?: [ ]? (?: points? \b | stars? \b | marks? \b | 分 ) )"
_LABEL = r"""(?:
    (?: (?: so | the | my | overall | final | corrected | revised | updated | new | total | task | answer | response ) \b ,? [ ] )*+
    (?: (?: (?: accuracy | quality | complexity ) [ ] )? (?: score | rating ) | accuracy | quality | complexity ) \b
  | (?: 总体 | 总 | 最终 | 综合 )? (?: 评分 | 得分 | 分数 | 打分 )
)"""
_RANGE = r"(?: \d++ [ ]? (?: to | and | [-–—~] ) [ ]? (?= \d ) )"
_SCALE_BEFORE = rf"""(?:
    / | of | out [ ] of (?: [ ] an? \b )? (?: [ ] (?: possible | maximum | max | total ) )? (?: [ ] of )?
  | max(?:imum)? (?: [ ] of )? | 满分 [为是]?
  | (?: on | from | scale ) \b (?: [ ] (?: an? | the ) )? (?: [ ] scale )? (?: [ ] (?: of | from ) )? [ ]? {_RANGE}?
)"""
_SCALE_AFTER = r"(?: [ ]? 分制 | [ -] points? [ ] scale | [ ] scale | (?= [)）] ) )"
# A noun ("5 tests"), a second number or a condition makes a number something else.
_DOUBT = r"""(?: [ ]? (?:
    \d | percent | % | max | 满分 | 或 | 如果 | 若
  | (?: or | and | maybe | perhaps | possibly | if | unless | not | out | on | of | from | scale ) \b
) )"""
_REASON = r"(?: because | since | as | due | given | but | though | although | while | so ) \b | 因为"

# A clause ends with its line or sentence, before a key of JSON, and at a colon with a label behind it.
_CLAUSE_END = _pattern(rf"""
    \n | (?<= [.!?;] ) [\"')\]]* [ ] | (?<= [。！？；] ) | [{{,] [ ]? (?= \" ) | [:：] [ ] (?= [\"'(\[]* {_LABEL} )
""")
_BULLET = _pattern(r"[ ]? (?: [-+>#•]+ [ ] | \d+ [.)] [ ] )? [ {(\[]*")
_LABELLED = _pattern(rf"{_LABEL} [ ]? (?: [:：=] | is\b | 为 | 是 ) [ (\[]*")
_NAMED = _pattern(rf"{_LABEL} [ ]? (?: [:：=] | is\b | 为 | 是 )? [ (\[]*")
_GIVEN = _pattern(r"""
    \b (?: (?: i | we ) \b [^\n]{0,24}? \b (?: give | rate | award | assign | say | score ) | deserves | earns | merits ) [ ]
    (?: [\w']+ [ ] ){0,5}? [(\[]* (?= -?\d )
""")
_DENIED = _pattern(r"\b (?: not | no | never | cannot | if | unless | until | could | instead ) \b | n['’]t \b")
_VALUE = _pattern(rf"(?P<value> -? {_NUMBER} ) [ )\]]*")
_OUT_OF = _pattern(rf"-? {_NUMBER} [ )\]]* (?: / | out [ ] of )")
_SCALE = _pattern(rf"""
    {_UNIT}? [ ]? [(（,，]? [ ]?
    (?: {_SCALE_BEFORE} [ (\[]* (?P<top> {_NUMBER} ) (?: [ -] points? (?: [ ] scale )? | [ ]? 分?制 | [ ]? 分 )?
      | (?! \d++ [)）] ) {_RANGE}? (?P<named_top> {_NUMBER} ) {_SCALE_AFTER} )
    [ )\]）]*
""")
_NOTHING = _pattern(r"[ ]? [}.。)\]]* [ ]? \Z")
_REST = _pattern(rf"""
    {_UNIT}? [ )\]）}}]*
    (?: \Z | [.。!！] (?! [.\d] ) | [,;:，；(（] (?! {_DOUBT} ) | (?: [-–—]+ [ ] | — ) (?! {_DOUBT} ) | {_REASON} )
""")


# What may follow where a text was cut off, and make another number or another scale of what stands there.
_GOES_ON = ("5", ".5", "/9", " out of 9", " to 9", " %")


def parse_rating(text: str, low: int, high: int, cut: bool = False) -> Rating:
    """Read a rating strictly.

    Thinking before the answer is left out. A first line that holds nothing but a number counts ("4.5", "Score: 4.5",
    "**4.5/5**"). Otherwise every "score: N" and "rating is N" at the beginning of a clause counts, and every "N/5" and
    "N out of 5" there or after "I give it"; all of them must agree. Bare numbers in prose, ranges ("4-5"), percentages,
    counts ("3 out of 5 tests") and what is denied do not count. A stated scale must end at `high`. English, and Chinese
    labels ("评分：4", "得分：4/5").

    Args:
        text: the judge's answer.
        low, high: the ends of the scale.
        cut: the text was cut off, and would have gone on: a rating counts only where none of what may follow changes it.
    """
    found = _parse(text, low, high)
    if cut and found.status == "ok" and any(_parse(text + more, low, high) != found for more in _GOES_ON):
        return Rating(None, "unparsed", _beginning(text))
    return found


def _parse(text: str, low: int, high: int) -> Rating:
    answer = re.sub(r"[^\S\n]+", " ", re.sub(r"[*_`]+", " ", spoken(text))).strip()
    answer = re.sub(r"(?: ?\n)+ ?", "\n", answer)
    first = _alone(_unquoted(answer.partition("\n")[0]))
    found = {first} if first else {said for clause in _CLAUSE_END.split(answer) for said in _ratings(_unquoted(clause))}
    beginning = _beginning(text)
    if not found:
        return Rating(None, "unparsed", beginning)
    said = {(value, high if top is None else top) for value, top in found}
    if len(said) > 1:
        return Rating(None, "ambiguous", beginning)
    value, scale = said.pop()
    if scale != high or not low <= value <= high:
        return Rating(None, "out_of_range", beginning)
    return Rating(value, "ok")


def _beginning(text: str) -> str:
    return " ".join((spoken(text).strip() or text).split())[:80]


def _alone(line: str) -> tuple[float, float | None] | None:
    """The value and the scale's end (None: not said) of a line that holds nothing else."""
    return _rating_at(line, _start(line, _NAMED)[0], _NOTHING)


def _ratings(clause: str) -> Iterator[tuple[float, float | None]]:
    """Each rating that a clause states, with the scale's end."""
    begin, labelled = _start(clause, _LABELLED)
    said = _rating_at(clause, begin, _REST)
    if said and (labelled or _OUT_OF.match(clause, begin)):
        yield said
    for given in _GIVEN.finditer(clause):
        said = _rating_at(clause, given.end(), _REST)
        if said and said[1] is not None and not _DENIED.search(clause, max(0, given.end() - 200), given.end()):
            yield said


def _start(text: str, label: re.Pattern[str]) -> tuple[int, bool]:
    """Where a number is due behind a bullet and a label, and whether there was a label."""
    bullet = _BULLET.match(text)
    begin = bullet.end() if bullet else 0
    named = label.match(text, begin)
    return (named.end(), True) if named else (begin, False)


def _rating_at(text: str, begin: int, rest: re.Pattern[str]) -> tuple[float, float | None] | None:
    """The value and the scale's end at this place, where what follows leaves no doubt."""
    value = _VALUE.match(text, begin)
    if not value:
        return None
    for scale in (_SCALE.match(text, value.end()), None):
        if rest.match(text, scale.end() if scale else value.end()):
            top = scale and (scale["top"] or scale["named_top"])
            return _float(value["value"]), _float(top) if top else None
    return None


def _unquoted(text: str) -> str:
    """The text without quotation marks; apostrophes stay."""
    return re.sub(r" +", " ", re.sub(r"[\"“”]|(?<!\w)['‘’]|['‘’](?!\w)", " ", text)).strip()


def _float(text: str) -> float:
    return float(text.replace(",", "."))
