# ruff: noqa: E501, F541 - tables of examples, one long line each
"""More texts by which masking was tuned, in another manner: chats, HTML, YAML, SQL, XML, tickets, minutes; other look-alikes."""

from __future__ import annotations

import string
from collections.abc import Callable

from services.core.masking import PersonalKind
from tests.core.masking.planted import Planted, Sample, Values

PEOPLE = (
    "Marta Kowalska",
    "Rajesh Gupta",
    "Emily Chen",
    "Jean-Luc Moreau",
    "赵国强",
    "孙晓梅",
    "周杰",
    "吴婷婷",
    "何志远",
    "Ms Tan",
)
HANDLES = ("m.kowalska", "rajesh_g", "emilychen", "jl.moreau", "zhaogq", "sun.xm", "zhoujie1990", "wutt")
HOSTS = (
    "firma.pl",
    "outlook.com",
    "sina.com.cn",
    "126.com",
    "foxmail.com",
    "proton.me",
    "sub.department.edu",
    "startup.io",
)
TALK = (
    "Sure, I'll take care of it tomorrow morning.", "Could someone from facilities look at the heating on floor 7?", "Quarterly revenue rose by 4.2% to 18,300,450.",
    "We measured 23.5 °C at 14:30 and 21.9 °C at 18:00.", "好的，我明天上午处理。", "七楼的暖气谁能看一下？", "第三季度营收同比增长4.2%，达到1830万元。", "样品于2025年3月14日送检，编号见附表。",
)  # fmt: skip
ABROAD = (
    "+48 601 {3} {3}", "+48-22-{3}-{2}-{2}", "+33 6 {2} {2} {2} {2}", "+33.1.{2}.{2}.{2}.{2}", "+49 (0)89 {3}{4}", "+49-170-{7}", "+1-646-555-{4}", "+1 (305) 555 {4}",
    "+44(0)7700 900{3}", "+447700900{3}", "+39 347 {3} {4}", "+55 11 9{4}-{4}", "+52 55 {4} {4}", "+82-10-{4}-{4}", "+81 90 {4} {4}", "+62 812-{4}-{4}", "+971 50 {3} {4}", "+234 803 {3} {4}",
    "+46 70 {3} {2} {2}", "+31 6 {8}", "+41 79 {3} {2} {2}", "+60 12-{3} {4}", "+64 21 {3} {4}",
)  # fmt: skip
FOREIGN_PASSPORTS = ("{9}", "A{8}", "AB{7}", "K{7}E", "C01X00T47", "TR{7}", "P{7}A", "{8}")


class SecondTuningStyle:
    """Makes samples; half of them are look-alikes."""

    def __init__(self, seed: int) -> None:
        self.v = Values(seed)

    def sample(self) -> Sample:
        v = self.v
        made: list[Callable[[], Sample]] = [
            self.chat,
            self.html,
            self.yaml,
            self.sql,
            self.ticket,
            self.xml,
            self.minutes,
            self.shell,
        ]
        if v.random.random() < 0.45:
            return self.harmless()
        return v.random.choice(made)()

    def filled(self, pattern: str) -> str:
        out = pattern
        for count in range(1, 10):
            while f"{{{count}}}" in out:
                first = self.v.pick(*"23456789")
                out = out.replace(f"{{{count}}}", first + self.v.digits(count - 1), 1)
        return out

    def phone(self) -> Planted:
        v = self.v
        n = v.mobile()
        if v.random.random() < 0.4:
            return PersonalKind.PHONE, self.filled(v.pick(*ABROAD))
        return PersonalKind.PHONE, v.pick(
            n, n, f"{n[:3]}.{n[3:7]}.{n[7:]}", f"(+86){n}", f"+86-{n[:3]}-{n[3:7]}-{n[7:]}", f"{n[:3]} {n[3:]}", f"{n[:3]}\u00a0{n[3:7]}\u00a0{n[7:]}", f"{n[:3]}‑{n[3:7]}‑{n[7:]}",
            n, f"0{v.pick('571', '591', '731', '898')}-{v.pick('2', '6', '8')}{v.digits(7)}", f"(0{v.pick('10', '21', '29')}){v.pick('6', '8')}{v.digits(7)}", f"0086-21-{v.pick('5', '6')}{v.digits(7)}",
            f"020-3{v.digits(7)}转{v.digits(4)}", f"400 {v.digits(3)} {v.digits(4)}", f"0431 8{v.digits(3)} {v.digits(4)}", v.wide(f"{n[:3]}-{n[3:7]}-{n[7:]}"),
        )  # fmt: skip

    def mobile(self) -> Planted:
        return PersonalKind.PHONE, self.v.mobile()

    def identity(self) -> Planted:
        n = self.v.id_number()
        return PersonalKind.ID_NUMBER, self.v.pick(
            n,
            n,
            n,
            f"{n[:6]} {n[6:10]} {n[10:14]} {n[14:]}",
            f"{n[:3]} {n[3:6]} {n[6:10]} {n[10:14]} {n[14:]}",
            self.v.old_id_number(),
        )

    def card(self) -> Planted:
        n = self.v.card()
        if len(n) == 15:
            return PersonalKind.CARD, self.v.pick(n, f"{n[:4]} {n[4:10]} {n[10:]}", f"{n[:4]}-{n[4:10]}-{n[10:]}")
        if len(n) == 14:
            return PersonalKind.CARD, self.v.pick(n, f"{n[:4]} {n[4:10]} {n[10:]}")
        if len(n) == 19:
            return PersonalKind.CARD, self.v.pick(
                n, f"{n[:6]} {n[6:]}", " ".join(n[i : i + 4] for i in range(0, 19, 4))
            )
        return PersonalKind.CARD, self.v.pick(
            n,
            "\u00a0".join(n[i : i + 4] for i in range(0, 16, 4)),
            "–".join(n[i : i + 4] for i in range(0, 16, 4)),
            " ".join(n[i : i + 4] for i in range(0, 16, 4)),
        )

    def email(self) -> Planted:
        v = self.v
        local, host = v.pick(*HANDLES) + v.pick("", "", ".work", str(v.random.randint(1, 99))), v.pick(*HOSTS)
        return PersonalKind.EMAIL, v.pick(
            f"{local}@{host}",
            f"{local}@{host}",
            f"{local}@{host}",
            f"{local}%40{host}",
            f"{local} [at] {host}",
            f"{local}&#64;{host}",
            f"{local.title()}@{host}",
        )

    def iban(self) -> Planted:
        n = self.v.iban()
        return PersonalKind.IBAN, self.v.pick(
            n, " ".join(n[i : i + 4] for i in range(0, len(n), 4)), "-".join(n[i : i + 4] for i in range(0, len(n), 4))
        )

    def passport(self) -> Planted:
        return PersonalKind.PASSPORT, self.v.passport()

    def foreign_passport(self) -> Planted:
        return PersonalKind.PASSPORT, self.filled(self.v.pick(*FOREIGN_PASSPORTS))

    def secret(self) -> Planted:
        return PersonalKind.SECRET, self.v.token()

    def password(self) -> Planted:
        return PersonalKind.SECRET, self.v.pick(
            self.v.password(), self.v.letters(16), f"{self.v.letters(5)}${self.v.letters(5)}"
        )

    def chat(self) -> Sample:
        v, s = self.v, Sample()
        for _line in range(4):
            s.add(f"[{v.random.randint(10, 23)}:{v.random.randint(10, 59)}] ", v.pick(*PEOPLE), ": ")
            kinds: list[tuple[str | Planted, ...]] = [
                ("my new number is ", self.phone(), " btw"), ("加我微信或者打", self.phone(), "都行"), ("换号了→", self.mobile(), "←存一下"), ("write to ", self.email(), " pls"),
                ("邮箱是", self.email(), "哈"), ("转到", self.card(), "，中国银行的"), ("card ending changed, use ", self.card(), " exp 09/28"), ("身份证", self.identity(), "，帮我订票"),
                ("护照", self.passport(), "，签证还没办"), ("wifi password is ", (PersonalKind.SECRET, v.password())), ("密码是", (PersonalKind.SECRET, v.password()), "别外传"), ("token: ", self.secret()),
                ("我的护照号是", self.foreign_passport(), "，新加坡的"), (v.pick(*TALK),), (v.pick(*TALK),),
            ]  # fmt: skip
            s.add(*v.random.choice(kinds), "\n")
        return s

    def html(self) -> Sample:
        v, s = self.v, Sample()
        s.add("<html><body><h1>", v.pick("Contact", "联系我们"), "</h1><table>")
        for _row in range(3):
            s.add(
                "<tr><td>",
                v.pick(*PEOPLE),
                "</td><td>",
                self.phone(),
                '</td><td><a href="mailto:',
                self.email(),
                '">mail</a></td></tr>\n',
            )
        s.add("</table><p>", v.pick(*TALK), "</p><p>IBAN: ", self.iban(), "</p></body></html>")
        return s

    def yaml(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            "database:\n  host: db.internal\n  port: 5432\n  password: ",
            self.password(),
            "\nsmtp:\n  user: ",
            self.email(),
            "\n  timeout: 30\n",
        )
        s.add(
            "owner:\n  phone: ",
            self.phone(),
            '\n  national_id: "',
            self.identity(),
            "\"\nclient_secret: '",
            (PersonalKind.SECRET, v.letters(32)),
            "'\nretries: 3\n",
        )
        return s

    def sql(self) -> Sample:
        v, s = self.v, Sample()
        s.add("INSERT INTO customers (id, name, mobile, id_card, bank_card) VALUES\n")
        for row in range(3):
            s.add(
                f"({row + 1}, '",
                v.pick(*PEOPLE),
                "', '",
                self.mobile(),
                "', '",
                (PersonalKind.ID_NUMBER, v.id_number()),
                "', '",
                (PersonalKind.CARD, v.card()),
                f"'),\n",
            )
        s.add(f"-- {v.digits(3)} rows, checksum {v.letters(32, '0123456789abcdef')}\n")
        return s

    def ticket(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            f"Ticket #{v.digits(7)} ({v.pick('open', 'closed')})\n",
            v.pick(*TALK),
            "\nCaller: ",
            v.pick(*PEOPLE),
            ", call back on ",
            self.phone(),
            " after 5 pm.\n",
        )
        s.add(
            "Passport No: ",
            self.foreign_passport(),
            " / payment with ",
            self.card(),
            "\n",
            f"Order {v.digits(14)} of 2025-02-1{v.digits(1)}\n",
        )
        s.add(
            "工单备注：客户",
            v.pick(*PEOPLE),
            "（",
            self.phone(),
            "）要求退款至",
            self.card(),
            "，证件号",
            self.identity(),
            "。\n",
        )
        return s

    def xml(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            '<person id="',
            v.digits(6),
            '"><tel>',
            self.phone(),
            "</tel><mail>",
            self.email(),
            "</mail><idcard>",
            self.identity(),
            "</idcard><iban>",
            self.iban(),
            "</iban>",
        )
        s.add("<passport>", self.foreign_passport(), "</passport><secret>", "</secret></person>\n")
        return s

    def minutes(self) -> Sample:
        v, s = self.v, Sample()
        s.add("1. ", v.pick(*TALK), "\n2. ", v.pick(*PEOPLE), "(", self.phone(), ") ", v.pick(*TALK), "\n")
        s.add(
            "3. 报销请汇至",
            v.pick(*PEOPLE),
            "，账号",
            self.card(),
            "，有疑问致电",
            self.phone(),
            "或发邮件到",
            self.email(),
            "。\n",
        )
        s.add(
            "4. Travellers: ",
            v.pick(*PEOPLE),
            ", passport ",
            self.passport(),
            "; ",
            v.pick(*PEOPLE),
            ", ",
            (PersonalKind.PASSPORT, "G" + v.digits(8)),
            ".\n",
        )
        return s

    def shell(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            "$ export OPENAI_API_KEY=",
            self.secret(),
            "\n$ curl -H 'X-Api-Key: ",
            (PersonalKind.SECRET, v.letters(32)),
            "' https://api.example.org/v2/items?limit=20\n",
        )
        s.add(
            "$ git clone https://oauth2:",
            self.secret(),
            "@git.example.org/team/repo.git\n$ mysql -u root --password=",
            self.password(),
            " shop\n",
        )
        s.add(
            "DB_PASSWORD=",
            self.password(),
            "\nLOG_LEVEL=debug\nPORT=8501\nPWD=/home/build\n",
            v.pick("", "Cookie: session=" + v.letters(4)[:0]),
            "\n",
        )
        return s

    def harmless(self) -> Sample:
        s = Sample()
        for _line in range(6):
            s.add(self.look_alike(), "\n")
        return s

    def look_alike(self) -> str:
        v = self.v
        r = v.random
        return v.pick(
            f"PO {v.digits(10)} / SO {v.digits(10)}", f"交易流水：{v.digits(28)}", f"运单 SF{v.digits(13)}", f"单号{r.randint(2, 9)}{v.digits(14)}", f"Reference: {v.digits(4)}-{v.digits(4)}-{v.digits(4)}", f"invoice_id={v.digits(16)}", f"\"order_id\": {v.digits(17)},",
            f"\"trace_id\": \"{v.letters(32, '0123456789abcdef')}\"", f"合同编号 HT-2025-{v.digits(6)}", f"EUR {r.randint(1, 999)}.{v.digits(3)},00", f"总价：{r.randint(1, 99)}万{v.digits(4)}元", f"约{r.randint(2, 9)}{v.digits(9)}元人民币", f"GDP of {r.randint(13, 19)}{v.digits(9)} USD",
            f"v{r.randint(0, 9)}.{r.randint(0, 30)}.{r.randint(0, 30)}-rc{r.randint(1, 9)}", f"Python 3.11.{r.randint(0, 9)} (build {v.digits(8)})", f"ISBN-10: {v.digits(9)}X", f"ISBN-13: 978-3-{v.digits(3)}-{v.digits(5)}-{v.digits(1)}", f"EAN {v.digits(13)}", f"SKU {v.letters(3, string.ascii_uppercase)}-{v.digits(5)}",
            f"P/N {v.digits(4)}-{v.digits(3)}-{v.digits(5)}", f"S/N: {v.letters(3, string.ascii_uppercase)}{v.digits(9)}", f"料号：{v.digits(4)}.{v.digits(4)}.{v.digits(4)}", f"172.16.{r.randint(0, 255)}.{r.randint(0, 255)}/24", "2001:db8:85a3::8a2e:370:7334", f"epoch {r.randint(1_500_000_000, 1_800_000_000)}", f"{r.randint(1_500_000_000_000_000, 1_800_000_000_000_000)} us",
            f"{r.randint(10**8, 10**9)}ns", "-".join(v.letters(n, "0123456789ABCDEF") for n in (8, 4, 4, 4, 12)), f"md5 {v.letters(32, '0123456789abcdef')}", f"#{v.digits(6)}", f"x{v.digits(4)}", f"内线 {v.digits(4)}", f"编码{v.wrong_id_number()}有误", f"card test {v.wrong_card()} declined", f"{v.wrong_card()[:4]} {v.digits(4)}",
            f"20250{r.randint(1, 9)}{r.randint(10, 28)}-{v.digits(6)}", f"{r.randint(1, 28):02d}.{r.randint(1, 12):02d}.2025 {r.randint(10, 23)}:{r.randint(10, 59)}", f"Q{r.randint(1, 4)} 2025: {v.digits(3)} {v.digits(3)} {v.digits(3)}", f"| {v.digits(2)} | {v.digits(4)} | {v.digits(5)} | {v.digits(3)} |", f"{v.digits(3)} {v.digits(4)} {v.digits(4)} {v.digits(3)} {v.digits(2)}",
            f"lat=48.{v.digits(7)}&lon=11.{v.digits(7)}", f"0.{v.digits(12)}", f"{r.randint(1, 9)}.{v.digits(10)}e-{r.randint(1, 20)}", f"RFC {v.digits(4)}, section {r.randint(1, 9)}.{r.randint(1, 9)}.{r.randint(1, 9)}", f"rgb({r.randint(0, 255)}, {r.randint(0, 255)}, {r.randint(0, 255)})", f"foo@bar", "import { x } from '@scope/pkg@1.2.3'", f"sprite@2x.webp", "git@github.com:team/repo.git",
            "the password must have eight characters", "Password: at least 12 characters", "密码长度为8到20位", "忘记密码？请联系管理员", "secret santa is on Friday", "token_type: bearer", "tokens: 4096", "def token(self) -> str:", "password: str = Field(...)", "api_key = settings.api_key", "Authorization: required", "key: value", f"E{v.digits(2)} {v.digits(3)}",
            f"flight CA{v.digits(4)}", f"车次 G{v.digits(3)}", f"统一社会信用代码 91{v.digits(6)}MA{v.letters(8, string.ascii_uppercase + string.digits)}", f"邮编 {v.digits(6)}", f"学号：{v.digits(10)}", f"QQ群 {r.randint(10**8, 10**9)}", f"IMEI 86{v.digits(13)}", f"batch {v.digits(8)}-{v.digits(4)}", f"job {v.digits(19)}", f"{v.digits(22)}", f"{r.randint(13, 19)}{v.digits(9)} bytes free",
            f"DE{v.digits(2)} {v.digits(4)} highway", f"NL{v.digits(6)}B01", f"+{r.randint(2, 9)}.{v.digits(1)} °C", f"y = 3*x +{v.digits(2)}", f"{r.randint(2, 9)}+{v.digits(8)}", f"GMT+8 {v.digits(4)}", f"C++{r.randint(11, 23)}", f"HEX 0x{v.letters(12, '0123456789ABCDEF')}", f"GB {v.digits(4)}.{v.digits(1)}-2019", f"{v.digits(5)}×{v.digits(4)} mm",
        )  # fmt: skip
