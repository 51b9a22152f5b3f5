"""Texts from which an encoder's activations are measured before they are rounded to 8 bits.

Which channels carry large values is a property of the model and shows with a few texts of any kind; these are in many
scripts and registers so that none is rounded worse than the others.
"""

from __future__ import annotations

TEXTS = (
    "The sluice gate opens at six in the morning and lets the pond's water onto the wheel until the stones run warm.",
    "How much grain does one pair of stones grind in an hour, and who wrote the figure into the miller's book?",
    "Invoice 2026-0417, due 30 days net: 12 pcs. bearing SKF 6204-2RS at 4.85 EUR, freight 9.90 EUR, total 68.10 EUR.",
    "ERROR 2026-03-01T07:12:44.120Z worker-3 connection refused (errno 111) while calling 10.0.0.7:5432, retry in 5 s",
    "def opening(level: float, limit: float = 1.8) -> float:\n    return max(0.0, min(1.0, (level - limit) / 0.4))",
    "| year | rain, mm | days of milling |\n| --- | ---: | ---: |\n| 1911 | 742 | 208 |\n| 1912 | 961 | 251 |",
    "水磨坊的闸门早上六点打开，池水流到水轮上，石磨便慢慢转动起来，直到傍晚才停。",
    "请问去年第三季度的维修费用是多少？合同编号为MP-2026-88的供应商在哪里？",
    "磨坊主在账簿里写道：一九一二年雨水充足，全年磨粉二百五十一天，比前一年多四十三天。",
    "水車小屋の水門は朝六時に開き、池の水が車を回し、石臼が静かに動き始める。",
    "물레방아의 수문은 아침 여섯 시에 열리고 연못의 물이 바퀴를 돌린다.",
    "Das Wehr wird um sechs Uhr geöffnet; das Mühlrad dreht sich, und die Steine mahlen bis zum Abend.",
    "La vanne du moulin s'ouvre à six heures du matin et l'eau de l'étang fait tourner la roue.",
    "La compuerta del molino se abre a las seis y el agua del estanque mueve la rueda hasta la tarde.",
    "Затвор мельницы открывают в шесть утра, и вода из пруда вращает колесо до самого вечера.",
    "تُفتح بوابة الطاحونة في السادسة صباحًا فيدير ماء البركة العجلة حتى المساء.",
    "चक्की का फाटक सुबह छह बजे खुलता है और तालाब का पानी पहिये को घुमाता है।",
    "ประตูน้ำของโรงโม่เปิดตอนหกโมงเช้า แล้วน้ำในบึงก็หมุนกังหันไปจนเย็น",
)
# The longest are many of these one after the other.
LONG = 3
