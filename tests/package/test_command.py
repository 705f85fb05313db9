"""`python -m mlpinit`: a checkup and an audit by the names of what makes model and data."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import mlpinit.__main__ as command

NET = """
import torch
from torch import nn

TORCH = torch.nn.Sequential(nn.Linear(4, 50), nn.ReLU(), nn.Linear(50, 3))


def model():
    return nn.Sequential(nn.Linear(4, 50), nn.ReLU(), nn.Linear(50, 3))


def sick():
    net = model()
    nn.init.constant_(net[0].bias, -20.0)
    return net


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(*model())


def loader():
    g = torch.Generator().manual_seed(0)
    X = torch.randn(400, 4, generator=g)
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(X, torch.randint(3, (400,), generator=g)), batch_size=200
    )


BATCHES = [torch.zeros(300, 4)]
EMPTY = []


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1.0)


def loss(output, targets):
    return nn.functional.cross_entropy(output, targets)


def breaks():
    raise ZeroDivisionError("on purpose")


def number():
    return 7
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    package = tmp_path / "project"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(NET)
    (package / "broken.py").write_text("import a_module_that_is_not_there\n")
    (package / "typo.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "project"]:
        del sys.modules[name]


def spec(name):
    return f"project.net:{name}"


def child(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "mlpinit", *arguments],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False,
        encoding="utf-8",
    )  # fmt: skip


def run(*arguments):
    """The same in this process."""
    return command.main(arguments)


# Real child processes


def test_checkup_prints_a_verdict_and_exits_with_0(folder):
    done = child(folder, "checkup", spec("model"), "--data", spec("loader"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Healthy: nothing was found.\n")


def test_checkup_fails_on_request_and_says_it_in_json(folder):
    asked = ["checkup", spec("sick"), "--data", spec("loader"), "--optimizer", spec("adam")]
    done = child(folder, *asked, "--format", "json", "--fail")
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    names = [finding["name"] for finding in found["findings"]]
    assert names[0] == "dead at the start"
    assert found["optimizer"] == "Adam"
    assert child(folder, *asked).returncode == 0


def test_audit_reads_all_the_data(folder):
    done = child(folder, "audit", spec("sick"), "--data", spec("loader"), "--fail")
    assert (done.returncode, done.stderr) == (1, "")
    assert "50 hard-dead" in done.stdout
    assert "A whole data set of 400 examples" in done.stdout


def test_an_old_terminal_gets_letters_that_it_has(folder):
    asked = ["checkup", spec("sick"), "--data", spec("loader")]
    done = child(folder, *asked, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "Dead at the start" in done.stdout


def test_help_tells_the_exit_codes(folder):
    done = child(folder, "checkup", "--help")
    assert done.returncode == 0
    assert "exit codes: 0" in done.stdout
    nothing = child(folder)
    assert nothing.returncode == 2
    assert "checkup,audit" in nothing.stderr


# In this process


class Page(HTMLParser):
    """Which tags are opened and not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in ("meta", "br", "link", "path", "use"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag


@pytest.mark.parametrize("what", ["checkup", "audit"])
def test_a_page_of_its_own(folder, what, capsys):
    (folder / "report.html").write_text("the old one")
    asked = (what, spec("model"), "--data", spec("loader"), "--format", "html")
    assert run(*asked, "--output", "report.html") == 0
    assert capsys.readouterr().out == ""
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "table" in page.seen
    assert ("svg" in page.seen) == (what == "checkup")
    assert f"<title>{what.capitalize()} of project.net:model</title>" in text
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert sorted(p.name for p in folder.iterdir()) == ["project", "report.html"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(folder, capsys, monkeypatch):
    (folder / "report.json").write_text("the old one")

    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(command.os, "replace", fails)
    asked = ("audit", spec("model"), "--data", spec("loader"), "--output", "report.json")
    assert run(*asked) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert (folder / "report.json").read_text() == "the old one"
    assert sorted(p.name for p in folder.iterdir()) == ["project", "report.json"]


@pytest.mark.parametrize("name", ["model", "Net", "TORCH"])
def test_a_model_is_made_or_is_there(folder, capsys, name):
    assert run("audit", spec(name), "--data", spec("BATCHES"), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["sites"]["1"]["units"] == 50


def test_draws_are_those_of_the_seed(folder, capsys):
    told = []
    for seed in ("3", "3", "4"):
        run("checkup", spec("model"), "--data", spec("loader"), "--seed", seed)
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != told[2]


@pytest.mark.parametrize("loss", ["cross_entropy", "project.net:loss"])
def test_the_loss_has_a_name_too(folder, capsys, loss):
    assert run("checkup", spec("model"), "--data", spec("loader"), "--loss", loss) == 0
    assert "by chance 1.099" in capsys.readouterr().out


WRONG = [
    (("net", "loader"), "model is 'net'; wanted PACKAGE.MODULE:NAME"),
    (("project.nett:model", "loader"), "there is no module 'project.nett'; modules are looked for"),
    (("projekt:model", "loader"), "there is no module 'projekt'"),
    (("project.net:modell", "loader"), "project.net has no 'modell'; it has torch, nn, TORCH, mod"),
    (("project.broken:model", "loader"), "importing project.broken raised ModuleNotFoundError"),
    (("project.typo:model", "loader"), "importing project.typo raised SyntaxError"),
    (("project.net:breaks", "loader"), "project.net:breaks() raised ZeroDivisionError: on purpose"),
    (("project.net:number", "loader"), "project.net:number gave a int; wanted a torch.nn.Module"),
    (("project.net:BATCHES", "loader"), "project.net:BATCHES is a list; wanted a torch.nn.Module"),
    (("project.net:model", "number"), "project.net:number gave a int; wanted batches"),
    (("project.net:model", "EMPTY"), "project.net:EMPTY is empty; wanted at least one batch"),
    (("project.net:model", "BATCHES"), "the checkup raised TypeError: batch is a Tensor"),
]


@pytest.mark.parametrize(("asked", "told"), WRONG)
def test_what_cannot_be_done_exits_with_2_and_says_why(folder, capsys, asked, told):
    model, data = asked
    assert run("checkup", model, "--data", spec(data), "--fail") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert told in said.err.splitlines()[-1]
    assert ("Traceback" in said.err) == ("raised" in told)


@pytest.mark.parametrize(
    ("output", "told"), [("no/such/file", "there is no folder no/such"), (".", "is a folder")]
)
def test_an_output_is_refused_before_work_begins(folder, capsys, output, told):
    assert run("audit", spec("breaks"), "--data", spec("loader"), "--output", output) == 2
    assert told in capsys.readouterr().err


def test_a_format_that_is_not_there_is_refused(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        run("audit", spec("model"), "--data", spec("loader"), "--format", "xml")
    assert ended.value.code == 2


def test_the_optimiser_is_made_of_the_model_s_parameters(folder, capsys):
    asked = ("checkup", spec("model"), "--data", spec("loader"), "--optimizer", spec("adam"))
    assert run(*asked, "--fail") == 1
    assert "The first step of Adam" in capsys.readouterr().out
    assert run("checkup", spec("model"), "--data", spec("loader"), "--optimizer", "adam") == 2
    assert "--optimizer is 'adam'; wanted PACKAGE.MODULE:NAME" in capsys.readouterr().err
