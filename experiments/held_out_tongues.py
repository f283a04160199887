"""Lot 10 of `held_out_drops`: programs that several people wrote for one task told in another language than English, and short answers
in many languages. Its sources, and how a repository becomes conversations."""

# ruff: noqa: E501
from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping

from experiments.clean_sources import Turns
from experiments.held_out_code import LANGUAGES, Pages
from experiments.held_out_prose import rows_of
from experiments.held_out_sources import Source


def _pair(asked: str, answer: str) -> Turns:
    return [("user", asked.strip()), ("assistant", answer.strip())]


def _judged(pages: Pages) -> Iterable[Turns]:
    """A program, and the task of a judge in the page beside it; the marker that the reader names begins the task."""
    for path in pages.paths:
        folder, _, name = path.rpartition("/")
        if f"{folder}/README.md" in pages.listed:
            title, there, task = pages.show(f"{folder}/README.md").partition(pages.further)
            asked = re.sub(r"<[^>]*>|&nbsp;", "", f"{title.partition(chr(10))[0]}\n\n{task}")
            if there:
                yield _pair(f"{asked}\n\n{LANGUAGES.get(name.rpartition('.')[2], 'C++')}", pages.show(path))


def _called(pages: Pages) -> Iterable[Turns]:
    """A program, asked for in a form that the number or the name of its file fills; of a file `main` it is its folder's name."""
    for path in pages.paths:
        *folders, name = path.split("/")
        stem, _, suffix = name.rpartition(".")
        title = folders[-1] if stem == "main" else re.sub(r"^\d+[ ._)-]*", "", stem)
        number = re.findall(r"\d+", stem)
        form = {"title": title, "number": str(int(number[-1])) if number else "", "language": LANGUAGES.get(suffix, suffix)}
        if form["number"] or "{number}" not in pages.further:
            yield _pair(pages.further.format_map(form), pages.show(path))


def _inferred(pages: Pages) -> Iterable[Turns]:
    """Questions of a model's answers, and the right ones line by line in the named file, each with its database."""
    folder = pages.paths[0].rpartition("/")[0]
    for line, gold in zip(pages.show(pages.paths[0]).split("\n"), pages.show(f"{folder}/{pages.further}").split("\n"), strict=False):
        if line and gold:
            query, _, database = gold.partition("\t")
            yield _pair(f"Banco de dados {database}. {json.loads(line)['beams'][0]['orig_question']}", query)


Choice = tuple[str, Mapping[str, str], str]


def _exam(pages: Pages) -> Iterable[Choice]:
    for path in pages.paths:
        for line in re.findall(r'(?m)\{"id".*\}$', pages.show(path)):
            row = json.loads(line)
            yield row["question"]["stem"], {c["label"]: c["text"] for c in row["question"]["choices"]}, row["answerKey"]


def _mmlu(pages: Pages) -> Iterable[Choice]:
    for path in pages.paths:
        text = pages.show(path).removeprefix("\ufeff")
        if path.endswith(".csv"):
            yield from ((row[0], dict(zip("ABCD", row[1:5], strict=True)), row[5]) for row in csv.reader(io.StringIO(text)) if len(row) == 6)
        else:
            yield from ((row["question"], dict(zip("ABCDE", row["choices"], strict=False)), row["answer"]) for row in json.loads(text))


def _medical(pages: Pages) -> Iterable[Choice]:
    for path in pages.paths:
        for row in json.loads(pages.show(path)):
            choices = {label.upper(): text for label, text in row["answers"].items()}
            if len(row["correct_answers"]) == 1:
                yield row["question"], choices, row["correct_answers"][0].upper()


def _cause(pages: Pages) -> Iterable[Choice]:
    for path in pages.paths:
        for row in rows_of(pages.show(path)):
            yield f"{row['premise']} ({row['question']}?)", {"A": row["choice1"], "B": row["choice2"]}, "AB"[row["label"]]


CHOICES: Mapping[str, Callable[[Pages], Iterable[Choice]]] = {"exam": _exam, "mmlu": _mmlu, "medical": _medical, "cause": _cause}


def _choices(pages: Pages) -> Iterable[Turns]:
    """A question with its choices; the answer is in turn the letter, the text, both, and the letter in a sentence that the reader names."""
    kind, _, sentence = pages.further.partition(",")
    for at, (question, choices, right) in enumerate(CHOICES[kind](pages)):
        asked = "\n".join([question, *(f"{label}) {text}" for label, text in choices.items())])
        forms = ("{0}", "{1}", "{0}) {1}", sentence)
        if right in choices:
            yield _pair(asked, forms[at % len(forms)].format(right, choices[right]))


def _solved_exam(pages: Pages) -> Iterable[Turns]:
    """Questions of an exam; in turn how each is solved, and the letter alone."""
    for path in pages.paths:
        for at, row in enumerate(json.loads(pages.show(path))["example"]):
            yield _pair(row["question"], row["analysis"] if at % 2 else "".join(row["answer"]))


READERS: Mapping[str, Callable[[Pages], Iterable[Turns]]] = {
    "judged": _judged, "called": _called, "inferred": _inferred, "choices": _choices, "solved_exam": _solved_exam,
}  # fmt: skip

EXAMS, MGSM = "mhardalov+exams-qa", "microsoft+MathOctopus"
TASK, KNOCK, IOI, COURSE = "judged:### 문제 설명", "called:言語処理100本ノックの第{number}問をPythonで解いてください。", "called:Écris en {language} le programme « {title} ».", "called:Curso em Vídeo, Python: resolva o exercício {number}."
CODE = (
    Source(10, "sql_pt", "pt", "C4AI+gap-text2sql", r".*/bertimbau-base_run_true_1-step24100\.infer", "inferred:gold_bertimbau-base.txt", 1034),
    Source(10, "sql_tr", "tr", "alibugra+TUR2SQL", r"data/train\.jsonl", "form:{question}=>{query}", 2500),
    Source(10, "judge_py", "ko", "minsuh99+BaekjoonHub_python_practice|LimSB-dev+BaekjoonHub|song7351+baekjoonhub|cjkangme+BaekjoonHub", r"(백준|프로그래머스)/.*\.py", TASK, 2500),
    Source(10, "judge_java", "ko", "sangzun-han+baekjoonhub|sungmoyoo+BaekjoonHub|japygo+BaekjoonHub", r"(백준|프로그래머스)/.*\.java", TASK, 1500),
    Source(10, "judge_cpp", "ko", "hyeonjunje+BaekjoonHub", r"(백준|프로그래머스)/.*\.(cc|cpp)", TASK, 300),
    *(Source(10, f"knock_{year}", "ja", f"tmu-nlp+100knock{year}", r".*knock\d\d\.py", KNOCK, 800) for year in (2018, 2020)),
    Source(10, "ioi_py", "fr", "LelouchFR+France-IOI|itsax404+France-IOI|gabrielmaillard+France-IOI|kramer04+France-Ioi", r".*Niveau.*\.py", IOI, 800),
    Source(10, "ioi_cpp", "fr", "kramer04+France-Ioi|itsax404+France-IOI", r".*Niveau.*\.cpp", IOI, 800),
    Source(10, "course_pt", "pt", "jcddsj01+ex-python-curso-em-video|rafaelgebra+Curso-em-video-PYTHON|ksferreira21+Curso-Em-Video-Python|danilocamus+Curso-em-video-Python|simonecrepaldi+Desafios-de-Python-Curso-em-Video", r"(?:.*/)?(?:ex|desafio) ?0?\d+\.py", COURSE, 800),
    Source(10, "roadmap_es", "es", "mouredev+roadmap-retos-programacion", r"Roadmap/[^/]*/[^/]*/[^/]*\.[a-z]+", "reto", 800),
)
SHORT = (
    *(Source(10, f"exam_{code}", code, EXAMS, rf"data/exams/cross-lingual/(dev|train)_{code}\.jsonl\.tar\.gz", f"choices:exam,{said}", 400) for code, said in (
        ("bg", "Верният отговор е {0}"), ("hr", "Točan odgovor je {0}"), ("hu", "A helyes válasz: {0}"), ("it", "La risposta corretta è la {0}"),
        ("mk", "Точниот одговор е {0}"), ("pl", "Poprawna odpowiedź to {0}"), ("pt", "A resposta correta é a {0}"), ("sq", "Përgjigjja e saktë është {0}"),
        ("sr", "Тачан одговор је {0}"), ("tr", "Doğru cevap {0}"), ("vi", "Đáp án đúng là {0}"),
    )),
    Source(10, "jmmlu", "ja", "nlp-waseda+JMMLU", r"JMMLU/.*\.csv", "choices:mmlu,正解は{0}", 600),
    Source(10, "tmmlu", "tr", "ArdaYueksel+TurkishMMLU", r"test/.*\.json", "choices:mmlu,Bu sorunun cevabı {0}", 500),
    Source(10, "medical_fr", "fr", "qanastek+FrenchMedMCQA", r"corpus/(dev|test)\.json", "choices:medical,La bonne réponse est la {0}", 500),
    Source(10, "gaokao", "zh", "OpenLMLab+GAOKAO-Bench", r"Data/Objective_Questions/2010-2022_(Biology|Chemistry|Geography|History|Math_I|Physics|Political_Science)_MCQs\.json", "solved_exam", 700),
    *(Source(10, f"cause_{code}", code, "cambridgeltl+xcopa", rf"data/{code}/(test|val)\.{code}\.jsonl", f"choices:cause,{said}", 300) for code, said in (
        ("et", "Õige vastus on {0}"), ("id", "Jawaban yang benar adalah {0}"), ("it", "Ho scelto la {0}"), ("sw", "Jibu sahihi ni {0}"),
        ("ta", "சரியான பதில் {0}"), ("th", "คำตอบที่ถูกต้องคือ {0}"), ("tr", "Cevap {0}"), ("vi", "Câu trả lời là {0}"), ("zh", "正确答案是{0}"),
    )),
    *(Source(10, f"mgsm_{code}", code, MGSM, rf"step1_supervised_finetuning/data/mgsm/mgsm_{name}\.json", f"form:{{query}}=>{{response}}||{{query}} {twice}=>{said}", 500) for code, name, twice, said in (
        ("de", "German", "(Satz)", "Die Antwort ist {response}"), ("es", "Spanish", "(frase)", "La respuesta es {response}"),
        ("fr", "French", "(phrase)", "La réponse est {response}"), ("ja", "Japanese", "(文で)", "答えは{response}"),
        ("ru", "Russian", "(фраза)", "Ответ: {response}"), ("th", "Thai", "(ประโยค)", "คำตอบคือ {response}"),
        ("bn", "Bengali", "(বাক্য)", "উত্তর হলো {response}"), ("te", "Telugu", "(వాక్యం)", "సమాధానం {response}"),
    )),
)  # fmt: skip
TONGUE_SOURCES = (*CODE, *SHORT)
