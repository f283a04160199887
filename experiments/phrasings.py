"""How a request is worded in a natural language, for the corruptions that change requests: English, Chinese, Turkish."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrasing:
    """
    Attributes:
        asks: with `{}` for a programming language, what asks for code in it.
        shows: a request that shows code, or asks to translate it.
        please, solve, here: openings of a copied request, of a task, of its answer.
        examples: where the examples of a task begin.
        reworded: (expression, other words).
    """

    asks: str
    shows: str
    please: str
    solve: str
    here: str
    examples: str
    reworded: tuple[tuple[str, str], ...]


ENGLISH = Phrasing(
    asks=r"(?:\b(?:in|using|with|use)\s+{0}(?![\w+#]))|(?:(?<!\w){0}\s+(?:function|program|code|script|class|method|algorithm))",
    shows=r"\b(?:snippet|following|convert|translate)\b",
    please="Please do this: ",
    solve="Solve this task with a short Python program. ",
    here="Here is one way to do it:",
    examples=r"\n\s*(?:Examples?|For example|Note|Constraints)\b",
    reworded=(
        (r"\bReturn\b", "Give back"), (r"\breturn\b", "give back"), (r"\breturns\b", "gives back"), (r"\bgiven\b", "supplied"), (r"\bGiven\b", "For a supplied"),
        (r"\bCheck if\b", "Find out whether"), (r"\bcheck if\b", "find out whether"), (r"\blist\b", "array"), (r"\bstring\b", "text"), (r"\bstrings\b", "texts"),
        (r"\bnumbers\b", "values"), (r"\bnumber\b", "value"), (r"\bintegers\b", "whole values"), (r"\binteger\b", "whole value"), (r"\binput\b", "argument"),
        (r"\bshould\b", "must"), (r"\bYou are\b", "One is"), (r"\bYour task is to\b", "Please"), (r"\bfunction\b", "routine"), (r"\belements\b", "entries"),
        (r"\bgreater than\b", "above"), (r"\bless than\b", "below"), (r"\bword\b", "term"), (r"\bWrite\b", "Implement"), (r"\bCreate\b", "Build"),
    ),
)  # fmt: skip
CHINESE = Phrasing(
    asks=r"(?:用|使用|以|在)\s*{0}(?![A-Za-z+#])|(?<![A-Za-z]){0}\s*(?:函数|程序|代码|脚本|类|方法|算法)",
    shows=r"以下|下面|下列|给定的?代码|转换|翻译|修复|调试",
    please="请完成这件事：",
    solve="请用一小段 Python 程序解决这个问题。",
    here="一种写法如下：",
    examples=r"\n\s*(?:例如|示例|例子?[:：]|注意|约束)|(?:例如|比如)[:：，,]",
    reworded=(
        ("编写", "写出"), ("创建", "做"), ("生成", "给出"), ("返回", "给出"), ("给定", "已知"), ("检查", "判断"), ("列表", "序列"), ("数组", "序列"),
        ("字符串", "文本"), ("整数", "整型数"), ("数字", "数值"), ("输入", "参数"), ("应该", "要"), ("函数", "方法"), ("元素", "成员"), ("大于", "超过"),
        ("小于", "低于"), ("单词", "词语"), ("计算", "求"), ("一个", "某个"),
    ),
)  # fmt: skip
TURKISH = Phrasing(
    asks=r"(?<!\w){0}(?:'\w+|\s+(?:ile|dilinde|kullanarak|kodu|fonksiyonu|programi|programı|sinifi|sınıfı))",
    shows=r"asagidaki|aşağıdaki|cevir|çevir|donustur|dönüştür|duzelt|düzelt|hata",
    please="Lütfen şunu yapın: ",
    solve="Bu görevi kısa bir Python programıyla çözün. ",
    here="Bir yolu şudur:",
    examples=r"\n\s*(?:Örnek|Ornek|Örneğin|Not)\b",
    reworded=(
        (r"\byazin\b", "hazirlayin"), (r"\byazın\b", "hazırlayın"), (r"\baciklayin\b", "anlatin"), (r"\baçıklayın\b", "anlatın"), (r"\bnasil\b", "ne sekilde"),
        (r"\bnasıl\b", "ne şekilde"), (r"\bliste\b", "dizi"), (r"\bsayi\b", "deger"), (r"\bsayı\b", "değer"), (r"\bbir\b", "tek bir"), (r"\bdöndürün\b", "geri verin"),
        (r"\börnegi\b", "numunesi"), (r"\bornegi\b", "numunesi"), (r"\bkullanilir\b", "calisir"), (r"\byapilir\b", "kurulur"), (r"\buygulanir\b", "kullanilir"),
    ),
)  # fmt: skip
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Its letters with their own case: without regard to it Python takes a plain i for the dotless one.
_TURKISH = re.compile(
    r"[ğĞışŞİ]|(?i:\b(?:nasil|nedir|yazin|ile|icin|kodu|olusturun|fonksiyonu|aciklayin|bir|ornegi|ornek|gosterin|analizi|hatasi|cozulur|"
    r"yapilir|kullanilir|kullanimi|uygulanir|programi|sinifi|ve)\b)"
)


def phrasing(request: str) -> Phrasing:
    """The wording of the language that a request is in."""
    if _CHINESE.search(request):
        return CHINESE
    return TURKISH if _TURKISH.search(request) else ENGLISH


def reword(text: str, said: Phrasing) -> str:
    """The text with some of its words replaced."""
    for pattern, new in said.reworded:
        text = re.sub(pattern, new, text)
    return text
