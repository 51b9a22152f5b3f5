"""Facts of a made-up water works in English and Chinese: each is a sentence, and questions that it answers.

Everything is drawn from a seed, so that two runs ask the same things about the same documents, and an answer can be
checked: it has to contain the fact's figure.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_PARTS = ["sluice gate", "intake pump", "sand filter", "millstone", "overflow valve", "turbine shaft", "fish ladder"]
_PARTS += ["control cabinet", "gauge well", "trash rack", "spillway lamp", "dosing unit", "crane hook", "grease line"]
_PLACES = ["Alder Weir", "Brook End", "Cold Spring", "Deep Ford", "Elm Lock", "Fern Basin", "Grey Bridge", "Holm Pond"]
_PLACES += ["Iron Gate", "Juniper Race", "Kelp Dam", "Long Reach", "Moss Pool", "North Cut", "Otter Run", "Pike Bend"]
_DEEDS = ["inspected", "cleaned", "replaced", "calibrated", "painted", "tested", "lubricated", "measured"]
_UNITS = ["days", "weeks", "months", "hours"]
_ZH_PARTS = ["水闸", "取水泵", "砂滤池", "石磨", "溢流阀", "涡轮轴", "鱼道", "控制柜", "量水井", "拦污栅", "泄洪灯"]
_ZH_PLACES = ["青石堰", "白鹭湾", "松林坝", "长河口", "云岭库", "柳树渡", "金沙滩", "竹溪站", "南山渠", "东桥闸"]
_ZH_DEEDS = ["检查", "清洗", "更换", "校准", "涂漆", "测试", "润滑", "测量"]
_ZH_UNITS = ["天", "周", "个月", "小时"]
_ASIDES = [
    "The keeper writes the result into the blue book and signs it.",
    "Two people are needed for this work, one of them on the bank.",
    "If the water stands above the red mark, the work is put off.",
    "Spare parts are kept in the store beside the office.",
    "The works manager is told when anything unusual is found.",
]
_ZH_ASIDES = [
    "值班员把结果记入蓝色册子并签字。",
    "这项工作需要两个人完成。",
    "水位超过红线时工作推迟。",
    "备件存放在办公室旁的仓库里。",
]


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence, its language ("en" or "zh"), the text that an answer must contain, and ways to ask for it."""

    language: str
    sentence: str
    expected: str
    questions: tuple[str, ...]


def facts(count: int, seed: int, language: str) -> list[Fact]:
    """Return `count` facts that differ in what they are about."""
    chance = random.Random(f"{language} {seed}")
    return [_english(chance, number) if language == "en" else _chinese(chance, number) for number in range(count)]


def text_of(found: list[Fact], seed: int) -> str:
    """Return a text that states the facts, one paragraph each."""
    chance = random.Random(seed)
    paragraphs = []
    for fact in found:
        aside = chance.choice(_ASIDES if fact.language == "en" else _ZH_ASIDES)
        paragraphs.append(f"{fact.sentence} {aside}" if fact.language == "en" else fact.sentence + aside)
    return "\n\n".join(paragraphs)


def _english(chance: random.Random, number: int) -> Fact:
    part, place, deed = chance.choice(_PARTS), chance.choice(_PLACES), chance.choice(_DEEDS)
    every, unit = chance.randint(2, 96), chance.choice(_UNITS)
    thing = f"{part} {chance.choice('ABCDEFGHKLMNPRST')}{number}{chance.randint(10, 99)} at {place}"
    return Fact(
        "en",
        f"The {thing} is {deed} every {every} {unit}.",
        f"{every} {unit}",
        (
            f"How often is the {thing} {deed}?",
            f"At what interval is the {thing} {deed}?",
            f"When does the {thing} have to be {deed} again?",
            f"What does the manual say about how often the {thing} is {deed}?",
            f"I look after the {thing}. How often should it be {deed}?",
        ),
    )


def _chinese(chance: random.Random, number: int) -> Fact:
    part, place, deed = chance.choice(_ZH_PARTS), chance.choice(_ZH_PLACES), chance.choice(_ZH_DEEDS)
    every, unit = chance.randint(2, 96), chance.choice(_ZH_UNITS)
    thing = f"{place}{chance.choice('ABCDEFGHKLMNPRST')}{number}{chance.randint(10, 99)}号{part}"
    return Fact(
        "zh",
        f"{thing}每{every}{unit}{deed}一次。",
        f"{every}{unit}",
        (
            f"{thing}多久{deed}一次？",
            f"{thing}的{deed}周期是多长？",
            f"手册规定{thing}每隔多久{deed}？",
            f"请问{thing}什么时候需要再次{deed}？",
            f"我负责{thing}，应该多久{deed}一次？",
        ),
    )
