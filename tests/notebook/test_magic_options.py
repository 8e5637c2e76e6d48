"""The line after ``%%remote``. Pure."""

from __future__ import annotations

import pytest

from nbray.notebook.magic_options import OptionError, help_text, parse, parse_with_code
from nbray.options import check


def test_all_options() -> None:
    options = parse("--num-cpus 0.5 --num-gpus=1 --memory 2G --name 'my cell' --max-retries 2 --resources a=1,b=0.5")
    assert options.task == {
        "num_cpus": 0.5,
        "num_gpus": 1,
        "memory": 2 << 30,
        "name": "my cell",
        "max_retries": 2,
        "resources": {"a": 1.0, "b": 0.5},
    }
    assert not options.asynchronous
    assert options.only_names is None


def test_names_and_flags() -> None:
    options = parse("--async -o a,b --out c")
    assert options.asynchronous
    assert options.only_names == ["a", "b", "c"]
    assert parse("--no-out").only_names == []
    for text in ("'{\"tpu\": 2}'", '{"tpu":2}', '{"tpu": 2}', "tpu=2", '"tpu=2"'):
        assert parse(f"--resources {text}").task["resources"] == {"tpu": 2.0}
        assert parse(f"--resources={text} --async").task["resources"] == {"tpu": 2.0}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--num-cpu 1", "did you mean --num-cpus"),
        ("--each x=a --each y=b", "--each a,b=itertools.product"),
        ("--num_cpus 1", "did you mean --num-cpus"),
        ("--frobnicate", "the options are"),
        ("--num-cpus", "needs a value"),
        ("--num-cpus --async", "needs a value"),
        ("--num-cpus many", "takes a number"),
        ("--max-retries 1.5", "whole number"),
        ("--memory lots", "500M"),
        ("--memory inf", "500M"),
        ("--resources tpu", "NAME=AMOUNT"),
        ("--async=1", "takes no value"),
        ("-o 1a", "is not a name"),
        ("-o a --no-out", "do not go together"),
        ("--no-out --out=a", "do not go together"),
        ("x + 1", "next line"),
        ("--name 'open", "cannot read"),
    ],
)
def test_mistakes_are_explained(line: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(line)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text", ["i,x=enumerate('a b')", "i, x=enumerate('a b')", "i, x = enumerate('a b')", "i ,x= enumerate('a b')"]
)
def test_blanks_as_in_python(text: str) -> None:
    options = parse(f"--each {text} --async -o a, b ,c --quiet")
    assert options.each is not None and (options.each.targets, options.each.expression) == (
        ["i", "x"],
        "enumerate('a b')",
    )
    assert options.only_names == ["a", "b", "c"] and options.asynchronous and options.quiet


def test_line_magic() -> None:
    options, code = parse_with_code("--num-cpus 2 --async f(x, y=-1)")
    assert (options.task, options.asynchronous, code) == ({"num_cpus": 2}, True, "f(x, y=-1)")
    assert parse_with_code("-x + 1")[1] == "-x + 1"
    with pytest.raises(OptionError, match="no expression"):
        parse_with_code("--num-cpus 2")
    with pytest.raises(OptionError, match="unknown option"):
        parse_with_code("--nope 2")


def test_help_names_every_option() -> None:
    for name in ("--num-cpus", "--num-gpus", "--name", "--async", "--no-out", "-o"):
        assert name in help_text()


@pytest.mark.parametrize("amount", ["nan", "inf", "-1", "1e400"])
def test_amounts_that_mean_nothing_are_left_to_the_table_of_options(amount: str) -> None:
    with pytest.raises(ValueError, match="num_cpus"):
        check("task", parse(f"--num-cpus {amount}").task)
