"""Source code and configuration files through the real parser."""

from __future__ import annotations

import pytest

from services.knowledge.formats.plain.code_languages import CODE_SUFFIXES, language_of
from services.knowledge.formats.plain.source_code import code_sections
from tests.knowledge.parsing.pools import Parse

Headings = set[tuple[str, ...]]
PYTHON = '''"""Reads headers."""
import os

# What a header is.
@dataclass
class Header(Base):
    """A header."""

    @staticmethod
    def parse_http_header(line: str) -> str:
        if line:
            return line.strip()
        return ""


async def main(
    first: str,
) -> int:
    return 1


if __name__ == "__main__":
    main("x")
'''
TYPESCRIPT = """import { x } from "y";
/** A client. */
export class HttpClient<T> extends Base {
  constructor(private url: string) {
    super();
  }
  async getUser(id: number): Promise<User> {
    if (id) {
      return this.parseHttpHeader(id);
    }
  }
}
export const parseHttpHeader = (line: string): Header => {
  return line;
};
interface User { id: number }
"""
JAVA = """package org.example;
/** Orders. */
@Service
public class OrderService implements Service {
    public OrderService(Repo repo) {
        this.repo = repo;
    }
    @Override
    public List<Order> findAll(String name, int most) throws IOException {
        for (Order order : list) {
            call(order);
        }
        return list;
    }
}
"""
EXAMPLES: list[tuple[str, str, Headings]] = [
    ("a.py", PYTHON, {("Header",), ("Header", "parse_http_header"), ("main",), ()}),
    ("a.ts", TYPESCRIPT, {("HttpClient",), ("HttpClient", "getUser"), ("parseHttpHeader",), ("User",)}),
    ("b.py", "class A:\n    def b(self): pass\n", {("A",), ("A", "b")}),
    ("a.js", "function one() {\n  return 1;\n}\nclass Two {\n  three() {\n  }\n}\n", {("one",), ("Two", "three")}),
    ("A.java", JAVA, {("OrderService",), ("OrderService", "findAll")}),
    (
        "a.kt",
        "class A(val b: Int) {\n    override fun c(): Int {\n        return 1\n    }\n}\nfun String.ext() = 1\n",
        {("A", "c"), ("String.ext",)},
    ),
    (
        "a.c",
        (
            "#include <x.h>\nstatic int parse_line(const char *s,\n                      int n)\n"
            "{\n    return foo(n);\n}\n"
            "struct point {\n    int x;\n};\nint main(void) {\n    return 0;\n}\n"
        ),
        {("parse_line",), ("point",), ("main",)},
    ),
    (
        "a.cpp",
        (
            "namespace net {\nclass Socket : public Base {\n public:\n  void Open(int port);\n};\n}\n"
            "bool Socket::Open(int port) {\n  return true;\n}\n"
        ),
        {("Socket::Open",)},
    ),
    (
        "a.cs",
        "namespace A.B;\npublic class C\n{\n    public async Task<int> DoIt(int a)\n    {\n        X();\n    }\n}\n",
        {("C",), ("C", "DoIt")},
    ),
    (
        "a.go",
        (
            "package main\n// Server serves.\ntype Server struct {\n\ta int\n}\n"
            "func (s *Server) Start(ctx Context) error {\n\treturn nil\n}\nfunc main() {\n}\n"
        ),
        {("Server",), ("Server.Start",), ("main",)},
    ),
    (
        "a.rs",
        "pub struct A { b: u8 }\nimpl Display for A {\n    fn fmt(&self) -> R {\n    }\n}\npub async fn run() {\n}\n",
        {("A",), ("Display for A", "fmt"), ("run",)},
    ),
    ("a.rb", "module A\n  class B < C\n    def call(x)\n      1\n    end\n  end\nend\n", {("A", "B", "call")}),
    ("a.php", "<?php\nclass A {\n  public function b($x): int {\n    return 1;\n  }\n}\n", {("A", "b")}),
    ("a.swift", "struct A {\n  func run(at x: Int) -> Int {\n    return 1\n  }\n}\n", {("A", "run")}),
    ("a.scala", "object Main extends App {\n  def sum(a: Int): Int = {\n    a\n  }\n}\n", {("Main", "sum")}),
    ("a.sh", "#!/bin/sh\nset -e\ndeploy_app() {\n  echo hi\n}\ndeploy_app\n", {("deploy_app",), ()}),
    ("a.ps1", "function Get-Report {\n  param($x)\n}\n", {("Get-Report",)}),
    (
        "a.sql",
        "-- Users.\nCREATE TABLE IF NOT EXISTS users (\n  id INT\n);\ncreate view v AS SELECT 1;\n",
        {("users",), ("v",)},
    ),
    ("a.r", "mean_of <- function(x) {\n  mean(x)\n}\n", {("mean_of",)}),
    ("a.lua", "local function add(a, b)\n  return a\nend\nfunction M.sub(a)\nend\n", {("add",), ("M.sub",)}),
    ("a.pl", "package A::B;\nsub run {\n  1;\n}\n", {("run",)}),
    ("a.css", "body { color: red }\n@media print {\n  .a, .b { x: y }\n}\n", {("body",), ("@media print", ".a, .b")}),
    ("a.toml", "a = 1\n[tool.x]\nb = 2\n", {(), ("tool.x",)}),
    ("a.ini", "[mail]\nhost = h\n[web]\nport = 80\n", {("mail",), ("web",)}),
    (
        "a.yaml",
        "services:\n  web:\n    image: nginx\n  db:\n    image: pg\n",
        {("services", "web"), ("services", "db")},
    ),
    (
        "Dockerfile",
        "FROM python AS build\nRUN x\nFROM alpine\nCOPY . .\n",
        {("FROM python AS build",), ("FROM alpine",)},
    ),
    ("Makefile", "CC = gcc\nall: a b\n\techo x: y\n\nclean:\n\trm x\n", {("all",), ("clean",), ()}),
    ("main.tf", 'resource "aws_s3_bucket" "logs" {\n  acl = "private"\n}\n', {('resource "aws_s3_bucket" "logs"',)}),
    ("a.proto", "message Order {\n  int32 id = 1;\n}\n", {("Order",)}),
    ("a.ex", "defmodule A.B do\n  def run(x) do\n    x\n  end\nend\n", {("A.B", "run")}),
    ("a.hs", "module A where\nsumOf :: [Int] -> Int\nsumOf = sum\n", {("sumOf",)}),
    ("a.vb", "Public Class A\n  Public Sub Run()\n  End Sub\nEnd Class\n", {("A", "Run")}),
    ("a.jl", "function area(r)\n  r^2\nend\n", {("area",)}),
    ("a.m", "@implementation Foo\n- (void)run:(int)x {\n}\n@end\n", {("Foo",), ("run",)}),
    ("tool", "#!/usr/bin/env python3\ndef run():\n    pass\n", {("run",)}),
]


@pytest.mark.parametrize(("name", "text", "expected"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_units_of_a_language_are_sections(name: str, text: str, expected: Headings) -> None:
    """Classes and functions, or what the language has instead, make the headings; the text is there as it stands."""
    language = language_of(name, text.partition("\n")[0])
    assert language is not None
    sections = list(code_sections(text, language))
    assert expected <= {section.heading for section in sections}
    assert "".join("\n".join(section.text for section in sections).split()) == "".join(text.split())


def test_comments_and_decorators_stay_with_their_unit(parse: Parse) -> None:
    """What stands above a class belongs to it, and identifiers keep their spelling."""
    found = parse(PYTHON.encode(), "headers.py")
    assert found.media_type == "text/x-source"
    header = next(section for section in found.sections if section.heading == ("Header",))
    assert header.text.startswith("# What a header is.\n@dataclass\nclass Header(Base):")
    method = next(section for section in found.sections if section.heading == ("Header", "parse_http_header"))
    assert method.text.lstrip().startswith("@staticmethod\n    def parse_http_header(line: str) -> str:")
    assert any("parse_http_header" in chunk.text for chunk in found.chunks)


def test_at_least_thirty_languages_are_known() -> None:
    """By ending, by name and by the interpreter of the first line; a text has none."""
    assert len({language.name for suffix in CODE_SUFFIXES if (language := language_of(f"a{suffix}", ""))}) >= 30
    assert language_of("notes.txt", "class of 2026") is None
    assert language_of("server.log", "def x") is None
    assert language_of("C:\\src\\MAIN.PY", "").name == "Python"  # type: ignore[union-attr]
    assert language_of("run.txt", "#!/usr/bin/perl -w").name == "Perl"  # type: ignore[union-attr]


def test_code_that_a_program_made_is_read_as_text(parse: Parse) -> None:
    """Lines of a megabyte take no time and lose nothing."""
    minified = "function a(){return 1};var b=" + ";".join(f"f{n}({n})" for n in range(20_000))
    found = parse(minified.encode(), "bundle.min.js")
    joined = "".join(section.text for section in found.sections)
    assert "f19999(19999)" in joined
    assert "".join(joined.split()) == "".join(minified.split())
