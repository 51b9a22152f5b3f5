"""More texts of everyday documents, made up: a web page, Chinese and bilingual ones, a scan, a mail, word lists."""

from __future__ import annotations

PAGE = """<html><head><title>Harbour ferry</title></head><body>
<h1>Harbour ferry</h1>
<p>The ferry crosses between Old Quay and Gull Island. A crossing takes twelve minutes.</p>
<h2>Fares</h2>
<table><tr><th>Ticket</th><th>Single</th><th>Return</th></tr>
<tr><td>Adult</td><td>3.20</td><td>5.80</td></tr>
<tr><td>Child under 14</td><td>1.60</td><td>2.90</td></tr>
<tr><td>Bicycle</td><td>2.00</td><td>3.50</td></tr></table>
<h2>Good to know</h2>
<dl><dt>Dogs</dt><dd>Dogs travel free on a lead.</dd><dt>Groups</dt><dd>Groups of ten or more should call two days
ahead: 555-0142.</dd></dl>
<p>The last boat leaves Gull Island at 21:40. In winter, from November to March, it leaves at 18:10.</p>
</body></html>
"""

HANDBOOK = """# 员工手册

## 第一章 考勤

工作时间为周一至周五上午九点至下午六点，午休一小时。迟到三十分钟以上按缺勤半天计算。

## 第二章 休假

员工入职满一年后享有年假十天，满五年后享有十五天。年假应提前两周向直属主管申请。
婚假为十三天。病假须提交医院证明。

## 第三章 报销

出差住宿费每晚上限四百五十元，餐费每天上限一百二十元。报销单应在返回后十个工作日内提交。

## 第四章 信息安全

离开座位时必须锁定电脑。密码至少十二位，每一百八十天更换一次。发现可疑邮件请立即转发至 security@example.cn。

## 常见问题

问：可以在家办公吗？
答：每周最多两天，须经主管同意。

问：工资什么时候发放？
答：每月十日发放，遇节假日提前。
"""

CHINESE_TABLE = """产品编号,名称,保修期,价格（元）,产地
X100,空气净化器,24个月,1299,苏州
X200,加湿器,12个月,399,佛山
X300,电暖器,18个月,568,宁波
X400,扫地机器人,36个月,2499,深圳
"""

POLICY = """Data protection policy / 数据保护政策

1. Retention / 保存期限
Customer records are kept for seven years after the last order. 客户记录在最后一次订单后保存七年。
Applications of candidates are deleted after six months. 应聘者的资料在六个月后删除。

2. Access / 访问
Every access to payment data is logged. 对支付数据的每次访问都会被记录。
Requests for information are answered within 30 days. 信息查询请求在三十天内答复。

3. Contact / 联系方式
Data protection officer: Ingrid Solberg, extension 4471. 数据保护专员：英格丽德·索尔贝格，分机 4471。
"""

OCR = """INV0ICE No. 20419          Date: 03/11/2025

Brightwater Plumbing & Heating
Mill Lane 3, Astonbury

To: Parish Council, Astonbury

Repair of boiler at village hall              412.00
Replacement of expansi0n vessel               185.50
Travel, 2 hours                                96.00
                                   Sub-total  693.50
                                   VAT 20 %   138.70
                                   TOTAL      832.20

Payable within 14 days. Bank: Astonbury Savings, account 0071 8834.
"""

MAIL = """From: Helen Marsh <helen@orchard.example>
To: Tomas Reyes <tomas@orchard.example>
Date: Mon, 2 Feb 2026 09:12:00 +0000
Subject: Trade fair in Lyon

Hi Tomas,

the stand is booked: hall 6, stand 114. We have 24 square metres this year.
Please send the posters to the printer by Friday. The hotel is the Bellecour, two nights from 17 March.

The customs papers for the samples are still missing. Could you ask Petra about them?

Best,
Helen
"""

MEDICINE = """# Corvenol 20 mg tablets: information for users

## What it is for

Corvenol lowers high blood pressure.

## How to take it

Adults take one tablet a day in the morning. Swallow it whole with a glass of water. If you forget a dose, skip it; do
not take a double dose.

## Do not take it

- if you are pregnant or breast-feeding
- if you are allergic to amlopine
- together with grapefruit juice

## Possible side effects

Common side effects are:

- headache
- swollen ankles
- tiredness

Rare side effects are:

- rash
- palpitations

## How to store it

Store below 25 °C and out of the reach of children.
"""

ROUTER = """# 路由器快速指南

## 首次设置

1. 将电源适配器插入路由器并按下开关。
2. 用网线连接路由器的 WAN 口与光猫。
3. 在手机上搜索名为 Lynx-5G 的无线网络，初始密码为 88662200。
4. 打开浏览器访问 192.168.8.1 完成设置。

## 指示灯

| 指示灯 | 状态 | 含义 |
| --- | --- | --- |
| 电源 | 绿色常亮 | 正常 |
| 电源 | 红色闪烁 | 过热，请断电冷却 |
| 网络 | 蓝色常亮 | 已连接互联网 |
| 网络 | 熄灭 | 未检测到网线 |

## 恢复出厂设置

用针按住 RESET 孔十秒，直到所有指示灯熄灭。所有个人设置将被清除。

## 规格

最大传输速率：3000 Mbps
工作温度：0 至 40 摄氏度
重量：420 克
"""

GLOSSARY = """Terms used in the sailing school

Bow
: The front end of a boat.

Halyard
: A line used to hoist a sail.

Leeward
: The side away from the wind.

Tacking
: Turning the bow through the wind.
"""
