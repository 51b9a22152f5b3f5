"""A second set over other documents: looked at once the answers to the first one were settled."""

from __future__ import annotations

from tests.benchmarks.everyday.asked import Asked, Expect

CAMPSITE = """# Pinewood campsite: questions and answers

### Can we arrive late?

Reception closes at 21:00. After that, take the envelope with your name from the box at the gate.

### Is there Wi-Fi?

There is free Wi-Fi around the reception building. It does not reach the tent meadow.

### What does a night cost?

A pitch costs 24 EUR a night for two adults. Each further person pays 7 EUR.

### Are campfires allowed?

Only at the three marked fire places, and never from June to September.
"""

BOILER = """Boiler Therma 24: guide for users

Fault codes
F12: ignition failed. Press Reset once; if it happens again, call a technician.
F28: gas pressure too low. Check that the gas cock is open.
F37: water pressure too low. Refill the system to 1.5 bar.
F61: fan blocked. Call a technician.

Refilling the system
1. Switch the boiler off.
2. Connect the hose to the filling tap.
3. Open the tap slowly until the gauge reads 1.5 bar.
4. Close the tap and remove the hose.

Data
Output: 24 kW
Maximum pressure: 3 bar
Weight: 33 kg
Service interval: 12 months
"""

STAFF = """Name;Department;Extension;Office
Amelia Stone;Accounting;2210;C4
Bruno Keller;Purchasing;2245;C7
Chiara Gallo;Human resources;2301;D2
Dmitri Volkov;Warehouse;2388;Hall 1
Elif Kaya;Sales;2412;B9
"""

INSURANCE = """BICYCLE INSURANCE - CONDITIONS

1. What is insured
Theft, vandalism and damage by accidents are insured. Wear is not insured.

2. Excess
The policyholder bears 50 EUR of each claim. After three years without a claim the excess is waived.

3. What to do after a theft
Report the theft to the police within 48 hours. Send us the report, the invoice and the frame number.

4. Term
The contract runs for one year and is extended by a year unless it is cancelled one month before it ends.

5. Abroad
The insurance is valid in the whole of Europe for stays of up to 90 days.
"""

RELEASE = """Release notes

Version 4.2.0 (2026-01-20)
- Added: export to OpenDocument
- Fixed: crash when a folder is renamed during synchronisation
- Changed: sessions end after 30 minutes

Version 4.1.3 (2025-11-02)
- Fixed: umlauts in file names

Version 4.1.0 (2025-09-15)
- Added: dark theme
- Removed: support for Windows 8
"""

CONFIG = """[server]
port = 8443
workers = 6
# Seconds after which an idle connection is closed.
idle_timeout = 75

[database]
host = db.internal.example
pool_size = 20

[mail]
sender = noreply@example.org
"""

HOSPITAL = """# 住院须知

## 探视时间

普通病房每天下午三点至七点可以探视。重症监护室每天只有下午四点至四点半可以探视。

## 入院手续

请携带身份证、医保卡和住院通知单到一楼办理。押金为三千元。

## 膳食

| 餐次 | 时间 | 费用 |
| --- | --- | --- |
| 早餐 | 7:00 | 8元 |
| 午餐 | 11:30 | 18元 |
| 晚餐 | 17:30 | 15元 |

## 注意事项

- 病房内禁止吸烟
- 请勿擅自离院
- 贵重物品请自行保管

问：可以陪床吗？
答：儿童和重症患者可以有一名家属陪床。
"""

ZH_CONTRACT = """设备租赁合同

甲方：海光机械有限公司
乙方：青禾农业合作社

第一条 甲方向乙方出租联合收割机两台。
第二条 租期自2026年6月1日起至2026年9月30日止。
第三条 租金每台每月八千元，每月五日前支付。
第四条 乙方应每周检查机油，发生故障应在二十四小时内通知甲方。
第五条 违约方应支付违约金一万元。
"""

MEETING_MAIL = """From: Priya Nair
To: all staff
Subject: Moving to the new office

Dear all,

we move to Harper Street on 3 August. Each team packs its own desks; boxes are in the corridor.
The computers are moved by the company Swiftline. Please back up your data before 31 July.
Parking: the new building has 40 places, badges are handed out by Leon.

Kind regards
Priya
"""


def tide_pdf() -> bytes:
    """Tide tables of a harbour on two pages."""
    import io

    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Table

    styles = getSampleStyleSheet()
    rows = [
        ["Date", "High water", "Height (m)", "Low water"],
        ["1 March", "04:12", "5.1", "10:31"],
        ["2 March", "04:55", "5.4", "11:12"],
        ["3 March", "05:37", "5.6", "11:54"],
        ["4 March", "06:18", "5.5", "12:35"],
    ]
    buffer = io.BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4, invariant=1).build(
        [
            Paragraph("Tide tables of Saltby harbour", styles["Title"]),
            Paragraph("The lock opens two hours before high water and closes one hour after it.", styles["Normal"]),
            PageBreak(),
            Table(rows),
        ]
    )
    return buffer.getvalue()


def documents() -> list[tuple[str, bytes]]:
    """Return all documents of the set."""
    texts = {
        "campsite.md": CAMPSITE,
        "therma-24.txt": BOILER,
        "staff.csv": STAFF,
        "bicycle-insurance.txt": INSURANCE,
        "release-notes.txt": RELEASE,
        "server.toml": CONFIG,
        "住院须知.md": HOSPITAL,
        "租赁合同.txt": ZH_CONTRACT,
        "office-move.txt": MEETING_MAIL,
    }
    return [*((name, text.encode()) for name, text in texts.items()), ("tides.pdf", tide_pdf())]


QUESTIONS = (
    Asked("When does the reception of the campsite close?", ("21:00",), ("envelope",)),
    Asked("Do you have Wi-Fi on the campsite?", ("free Wi-Fi",), ("tent meadow",)),
    Asked("How much is a pitch per night?", ("24 EUR",), ("7 EUR",)),
    Asked("May we light a campfire?", ("marked fire places",)),
    Asked("What does F37 mean?", ("water pressure too low",)),
    Asked("List all fault codes of the boiler", ("F12", "F28", "F37", "F61"), expect=Expect.ALL),
    Asked("How do I refill the system?", ("Switch the boiler off", "Connect the hose", "Open the tap slowly")),
    Asked("How often must the boiler be serviced?", ("12 months",)),
    Asked("What is the maximum pressure of the Therma 24?", ("3 bar",)),
    Asked("What is the extension of Chiara Gallo?", ("2301",)),
    Asked("Who works in purchasing?", ("Bruno Keller",)),
    Asked("How high is the excess of the bicycle insurance?", ("50 EUR",), ("waived",)),
    Asked("Is wear insured?", ("Wear is not insured",)),
    Asked("What should I do if my bicycle is stolen?", ("48 hours",), ("frame number",)),
    Asked("Is the insurance valid abroad?", ("whole of Europe",)),
    Asked("What was fixed in version 4.1.3?", ("umlauts",)),
    Asked("After how many minutes do sessions end?", ("30 minutes",)),
    Asked("Which port does the server use?", ("8443",)),
    Asked("What is the pool size of the database?", ("20",)),
    Asked("When do we move to the new office?", ("3 August",)),
    Asked("Who moves the computers?", ("Swiftline",)),
    Asked("When is high water on 3 March?", ("05:37",)),
    Asked("When does the lock open?", ("two hours before high water",)),
    Asked("重症监护室什么时候可以探视？", ("四点至四点半",)),
    Asked("午餐多少钱？", ("18元",)),
    Asked("可以陪床吗？", ("一名家属陪床",)),
    Asked("租金是多少？", ("八千元",)),
    Asked("总结租赁合同", ("租",), ("甲方", "乙方", "违约"), Expect.PARTLY),
    Asked("What is the capital of Mongolia?", expect=Expect.NOTHING),
    Asked("How do I bake sourdough bread?", expect=Expect.NOTHING),
)
