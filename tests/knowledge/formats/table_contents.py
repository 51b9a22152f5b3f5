"""The tables that PDFs of many programs are made of, and questions for cells of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TableContent:
    """A table: title, header row, rows, and (question, cell of its row that the question names, cell asked for)."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    questions: tuple[tuple[str, str, str], ...]

    @property
    def is_chinese(self) -> bool:
        return self.title[0] > "\u4e00"

    @property
    def before(self) -> str:
        """Return the paragraph above the table."""
        if self.is_chinese:
            return f"{self.title}经委员会三月会议讨论通过，自四月一日起执行，原有版本同时废止。"
        return (
            f"{self.title}: the values below were agreed by the committee in March. They replace the earlier edition, "
            "which is no longer valid, and apply to all contracts that are signed from the first of April onwards."
        )

    @property
    def after(self) -> str:
        """Return the paragraph below the table."""
        if self.is_chinese:
            return "如对表中内容有疑问，请在工作日九点至四点之间与办公室联系。"
        return (
            "The office explains all values on weekdays between nine and four. They may change without notice when "
            "the market requires it, as section twelve of the terms says."
        )


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines())


def _table(title: str, text: str, *questions: tuple[str, str, str]) -> TableContent:
    header, *rows = _rows(text)
    return TableContent(title, header, tuple(rows), questions)


TABLES = {
    "mooring": _table(
        "Mooring fees 2026",
        """Berth | Length | Monthly fee | Power included
        North quay 1 | 8 m | 142.50 | yes
        North quay 2 | 10 m | 168.00 | yes
        East pontoon | 12 m | 211.75 | no
        Visitor berth | 6 m | 96.40 | no
        Fuel dock | 15 m | 305.20 | yes""",
        ("What is the monthly fee of the East pontoon?", "East pontoon", "211.75"),
        ("How long is the visitor berth?", "Visitor berth", "6 m"),
    ),
    "pump": _table(
        "Error codes of the pump controller",
        """Code | Meaning | Remedy
        E14 | Inlet pressure is below the minimum that the controller needs to start | Open the inlet valve fully and bleed the air out of the pipe
        E21 | The motor has become too hot during continuous operation | Let it cool for thirty minutes and clean the filter of the fan
        E37 | Communication with the remote display was lost for more than a minute | Check the plug of the bus cable and replace a broken terminator
        E52 | The leak sensor in the base tray reports water | Dry the tray, then look for a loose hose clamp""",  # noqa: E501 - a row is a line
        ("What is the remedy for error E21?", "E21", "thirty minutes"),
        ("What does error code E52 mean?", "E52", "leak sensor"),
    ),
    "offices": _table(
        "Staff of the branch offices",
        """City | Manager | Employees | Opened
        Rotterdam | Anneke Visser | 48 | 2009
        Porto | Rui Tavares | 17 | 2015
        Gdansk | Marta Nowak | 23 | 2012
        Trieste | Paolo Furlan | 9 | 2021
        Bergen | Ingrid Solheim | 31 | 2003""",
        ("Who manages the office in Gdansk?", "Gdansk", "Marta Nowak"),
        ("How many employees does the office in Trieste have?", "Trieste", "9"),
    ),
    "libraries": _table(
        "图书馆各分馆开放时间",
        """分馆 | 开放时间 | 座位数 | 负责人
        城东分馆 | 8:30-21:00 | 320 | 王晓梅
        城西分馆 | 9:00-20:30 | 185 | 李建国
        滨江分馆 | 10:00-22:00 | 260 | 陈思远
        高新分馆 | 8:00-18:00 | 140 | 赵敏""",
        ("滨江分馆有多少座位？", "滨江分馆", "260"),
        ("城西分馆的负责人是谁？", "城西分馆", "李建国"),
    ),
    "chiller": _table(
        "冷水机组故障代码表",
        """代码 | 故障说明 | 处理方法
        F101 | 冷却水流量低于设定值，压缩机停止运行 | 检查过滤器是否堵塞，并补充冷却水后重新启动
        F205 | 电源相序错误或缺相，控制器拒绝启动 | 由持证电工调整相序并测量三相电压
        F309 | 排气温度过高，超过一百一十度 | 清洗冷凝器翅片，检查风扇电机是否正常""",
        ("故障F205怎么处理？", "F205", "持证电工"),
        ("F309是什么故障？", "F309", "排气温度过高"),
    ),
    "dishwasher": _table(
        "Technical data of the dishwasher",
        """Property | Value
        Rated voltage | 230 V
        Power consumption | 1450 W
        Weight without water | 18.6 kg
        Noise level | 62 dB
        Operating temperature | 5 to 40 °C""",
        ("What is the weight of the dishwasher without water?", "Weight without water", "18.6 kg"),
        ("What is the noise level of the dishwasher?", "Noise level", "62 dB"),
    ),
    "sales": _table(
        "Quarterly sales by region",
        """Region | Q1 | Q2 | Q3 | Q4 | Total
        Alsace | 1,204 | 1,310 | 1,188 | 1,502 | 5,204
        Bretagne | 987 | 1,020 | 1,133 | 1,098 | 4,238
        Normandie | 1,455 | 1,390 | 1,512 | 1,620 | 5,977
        Occitanie | 2,010 | 2,144 | 2,087 | 2,230 | 8,471""",
        ("What were the sales of Bretagne in Q3?", "Bretagne", "1,133"),
        ("What is the total of the sales in Occitanie?", "Occitanie", "8,471"),
    ),
    "trains": _table(
        "Timetable of the valley railway",
        """Train | Departs Millford | Arrives Highgate | Runs on
        RB 301 | 06:12 | 07:05 | weekdays
        RB 303 | 07:42 | 08:35 | daily
        RB 311 | 11:12 | 12:05 | Sundays
        RE 517 | 16:20 | 16:58 | weekdays""",
        ("When does train RB 303 arrive in Highgate?", "RB 303", "08:35"),
        ("On which days does RB 311 run?", "RB 311", "Sundays"),
    ),
    "vaccines": _table(
        "Vaccines in the cold store",
        """Vaccine | Batch | Doses | Expires
        Tetanol | B7712 | 120 | 2027-03-31
        Rubavax | K0034 | 45 | 2026-11-30
        Meningo C | M5520 | 80 | 2027-08-15
        Zosterix | Z1198 | 12 | 2026-09-01""",
        ("When does Rubavax expire?", "Rubavax", "2026-11-30"),
        ("How many doses of Meningo C are there?", "Meningo C", "80"),
    ),
    "water": _table(
        "Drinking water analysis",
        """Parameter | Unit | Result | Limit
        Nitrate | mg/l | 18.4 | 50
        Chloride | mg/l | 33.0 | 250
        Iron | mg/l | 0.02 | 0.2
        Turbidity | NTU | 0.11 | 1.0
        Hardness | °dH | 14.2 | none""",
        ("What is the limit for chloride?", "Chloride", "250"),
        ("What was the result for turbidity?", "Turbidity", "0.11"),
    ),
    "courses": _table(
        "Evening courses in autumn",
        """Course | Teacher | Room | Price
        Pottery | Helen Marsh | 104 | 85
        Bookbinding | Tom Okafor | 210 | 120
        Astronomy | Lena Fuchs | 301 | 60
        Italian | Carla Rossi | 107 | 140""",
        ("Who teaches bookbinding?", "Bookbinding", "Tom Okafor"),
        ("In which room is the astronomy course?", "Astronomy", "301"),
    ),
    "invoice": _table(
        "Spare parts on order",
        """Item | Part number | Quantity | Unit price | Amount
        Gasket ring | GR-2204 | 12 | 1.85 | 22.20
        Bearing | BE-6203 | 4 | 9.40 | 37.60
        Drive belt | DB-0871 | 2 | 24.90 | 49.80
        Impeller | IM-3300 | 1 | 118.00 | 118.00
        Shaft seal | SS-0415 | 3 | 16.50 | 49.50""",
        ("What is the part number of the impeller?", "Impeller", "IM-3300"),
        ("What is the unit price of the drive belt?", "Drive belt", "24.90"),
    ),
    "teas": _table(
        "茶叶批发价格表",
        """品名 | 产地 | 等级 | 单价（元/公斤）
        龙井 | 杭州 | 特级 | 860
        铁观音 | 安溪 | 一级 | 420
        普洱 | 勐海 | 二级 | 310
        白毫银针 | 福鼎 | 特级 | 980""",
        ("铁观音的单价是多少？", "铁观音", "420"),
        ("白毫银针的产地在哪里？", "白毫银针", "福鼎"),
    ),
    "shifts": _table(
        "车间值班安排表",
        """日期 | 班次 | 值班员 | 电话
        6月3日 | 早班 | 周立群 | 5512
        6月4日 | 中班 | 何秀兰 | 5520
        6月5日 | 夜班 | 郑海涛 | 5537
        6月6日 | 早班 | 苏文静 | 5541""",
        ("6月5日的值班员是谁？", "6月5日", "郑海涛"),
        ("何秀兰的电话是多少？", "何秀兰", "5520"),
    ),
    "plans": _table(
        "Hosting plans compared",
        """Plan | Storage | Backups | Support
        Basic | 20 GB | weekly | mail
        Business | 200 GB | daily | telephone
        Campus | 2 TB | hourly | engineer on site""",
        ("How often are backups made in the Business plan?", "Business", "daily"),
        ("How much storage does the Campus plan have?", "Campus", "2 TB"),
    ),
    "parcels": _table(
        "Parcel rates by zone",
        """Zone | up to 2 kg | up to 10 kg | Days
        Benelux | 7.90 | 11.50 | 2
        Nordic | 12.40 | 19.80 | 4
        Iberia | 11.20 | 17.60 | 5
        Balkans | 14.30 | 23.10 | 7""",
        ("How many days does a parcel to the Nordic zone take?", "Nordic", "4"),
        ("What does a parcel up to 10 kg to Iberia cost?", "Iberia", "17.60"),
    ),
    "warranty": _table(
        "Warranty terms of the bicycle",
        """Part | Period | What is covered
        Frame | ten years | Breaks and cracks of tubes and welds in normal use, not after a fall or an accident
        Battery | two years | Loss of more than thirty percent of the capacity, measured by a dealer with our device
        Brakes | one year | Leaks of the hydraulic system and worn levers; pads and discs are excluded as wear parts""",
        ("How long is the warranty period of the battery?", "Battery", "two years"),
        ("What is covered for the brakes?", "Brakes", "hydraulic system"),
    ),
    "upkeep": _table(
        "电梯保养计划",
        """部件 | 周期 | 保养内容
        钢丝绳 | 每三个月 | 检查断丝数量和磨损情况，涂抹专用润滑脂
        限速器 | 每年 | 由检验机构校验动作速度并加封
        轿厢门 | 每月 | 清洁门轨，检查光幕和防夹装置是否有效""",
        ("限速器多久保养一次？", "限速器", "每年"),
        ("轿厢门的保养内容是什么？", "轿厢门", "清洁门轨"),
    ),
    "meals": _table(
        "Canteen dishes and their energy",
        """Dish | Energy (kcal) | Protein (g) | Allergens
        Lentil stew | 410 | 22 | celery
        Fish pie | 560 | 31 | fish, milk
        Nut roast | 480 | 19 | nuts, egg
        Tomato soup | 180 | 5 | none""",
        ("Which allergens are in the nut roast?", "Nut roast", "nuts, egg"),
        ("How much energy has the fish pie?", "Fish pie", "560"),
    ),
    "gauges": _table(
        "River levels this morning",
        """Gauge | Level (cm) | Change | Alarm at
        Oldbridge | 212 | +14 | 380
        Weir Lane | 187 | -3 | 300
        Saltmouth | 455 | +40 | 520
        Kingsford | 98 | 0 | 240""",
        ("What is the alarm level at Saltmouth?", "Saltmouth", "520"),
        ("By how much did the level at Oldbridge change?", "Oldbridge", "+14"),
    ),
}
