"""What the pictured console holds: small documents in English and in Chinese, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.browser.samples import CHINESE, manual

_PLAN = """# Maintenance plan

| part | every | who |
| --- | --- | --- |
| seals of the sluice gate | fourteen weeks | keeper of the mill |
| grooves of the millstone | ninety days | mason from the valley |
| bearings of the wheel | six months | smith |

Inspect the seals of the sluice gate and enter the date in the blue book. A seal that has lost more than a third of its
thickness is replaced before the next rain.
"""
_CONTRACT = """Contract of supply, number KV-2041

The notice period is six weeks to the end of a quarter. Grain is delivered on Tuesdays before nine in the morning.
Invoices are paid within thirty days; after that two per cent a month are due.
"""
_PRICES = "flour;unit;price\nwheat 550;25 kg;18.40\nrye 1150;25 kg;16.90\nspelt 630;25 kg;27.10\noats;10 kg;12.50\n"
_MINUTES = """# Minutes of 3 November

The board agreed to renew the dam in spring. The cost is 48,000 euros, of which the village pays a third. The keeper
reports that the water stood at 1.82 m, the highest level since 2019.
"""
_PLAN_ZH = """# 维护计划

| 部件 | 周期 | 负责人 |
| --- | --- | --- |
| 水闸密封条 | 十四周 | 磨坊看守人 |
| 石磨刻槽 | 九十天 | 山谷的石匠 |
| 水轮轴承 | 六个月 | 铁匠 |

检查水闸的密封条，并把日期记入蓝色的册子。磨损超过三分之一的密封条，须在下一个雨季之前更换。
"""
_CONTRACT_ZH = """供货合同 KV-2041

合同的通知期为六周，至季度末为止。谷物每周二上午九点前送达。货款须在三十天内付清；逾期按每月百分之二计收滞纳金。
"""
_PRICES_ZH = """面粉,单位,价格
小麦粉 550,25 公斤,18.40
黑麦粉 1150,25 公斤,16.90
斯佩尔特粉 630,25 公斤,27.10
燕麦,10 公斤,12.50
"""
_MINUTES_ZH = """# 十一月三日会议纪要

理事会同意明年春天修缮水坝。费用为四万八千元，其中三分之一由村里承担。
看守人报告，水位为 1.82 米，是 2019 年以来的最高水位。
"""


@dataclass(frozen=True)
class Shelf:
    """Documents by file name, two questions, a query for the retrieval test; `cited` is the source to open."""

    locale: str
    documents: dict[str, bytes]
    questions: tuple[str, str]
    query: str
    cited: str


SHELVES = {
    "en": Shelf(
        "en-GB",
        {
            "Mill handbook.pdf": manual(),
            "Maintenance plan.md": _PLAN.encode(),
            "Contract KV-2041.txt": _CONTRACT.encode(),
            "Prices.csv": _PRICES.encode(),
            "Minutes of November.md": _MINUTES.encode(),
            "水磨坊手册.txt": CHINESE.encode(),
        },
        ("How often are the seals of the sluice gate inspected?", "What is the notice period?"),
        "notice period of the contract",
        "Mill handbook",
    ),
    "zh-CN": Shelf(
        "zh-CN",
        {
            "水磨坊手册.txt": CHINESE.encode(),
            "维护计划.md": _PLAN_ZH.encode(),
            "供货合同 KV-2041.txt": _CONTRACT_ZH.encode(),
            "价目表.csv": _PRICES_ZH.encode(),
            "会议纪要.md": _MINUTES_ZH.encode(),
            "Mill handbook.pdf": manual(),
        },
        ("石磨的刻槽多久打磨一次？", "合同的通知期是多久？"),
        "水闸的密封条多久检查一次",
        "水磨坊手册",
    ),
}
