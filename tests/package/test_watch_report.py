"""A report as text, as HTML, as a dict, and in TensorBoard."""

import io
import json
import pickle
import sys
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

from mlpinit import surgery
from mlpinit.models.rendering import _spans
from mlpinit.watch import VERDICTS, audit, watch


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(3, 1000), nn.Tanh(), nn.Linear(1000, 24), nn.ReLU(), nn.Linear(24, 20), nn.SiLU()
    )
    with torch.no_grad():
        model[0].bias[:24] = 40.0
        model[0].bias[50:60] = 5.0
        model[2].bias[[3, 7]] = -40.0
    return model


@pytest.fixture(scope="module")
def report(model):
    with watch(model, every=2, window=1000) as w:
        for seed in range(80):
            model(data(32, 3, seed=seed))
    return w.report()


def test_the_text_has_a_summary_first_then_sites_then_the_worst_units(report):
    lines = str(report).splitlines()
    assert lines[0].startswith("3 sites, 1,044 units: ")
    assert "26 hard-dead" in " ".join(lines[:2])
    assert lines[2].startswith("80 forward passes, one in 2 watched")
    assert max(map(len, lines)) <= 80
    text = str(report)
    assert text.index("3 sites") < text.index("1  tanh") < text.index("1 [0–23] hard-dead")
    assert "3 [3, 7] hard-dead: slope 0 on 1,280 rows" in text
    assert repr(report) == text


def test_units_of_one_verdict_stand_together_the_worst_first():
    model = nn.Sequential(nn.Linear(3, 30), nn.Tanh(), nn.Linear(30, 4), nn.Tanh())
    with torch.no_grad():
        model[0].bias.copy_(torch.linspace(3.5, 7.0, 30))
        model[0].weight.mul_(0.1)
        model[2].bias[1] = 50.0
    report = audit(model, data(500, 3))
    *_, hard, soft = (line for line in str(report).splitlines() if line[:3] in ("3 [", "1 ["))
    assert hard.startswith("3 [1] hard-dead: slope 0 on 500 rows")
    largest = report["1"].recent.largest_slope.max()
    assert soft.startswith(f"1 [0–29] soft-dead: largest slope {largest:.2g} of 1 on 500 rows")
    with pytest.raises(ValueError, match="several verdicts"):
        report["3"].evidence(0, 1)


def test_a_long_list_is_cut_and_counted():
    model = nn.Sequential(*(part for _ in range(12) for part in (nn.Linear(3, 3), nn.Tanh())))
    with torch.no_grad():
        for layer in model[::2]:
            layer.bias[:2] = 50.0
    text = str(audit(model, data(500, 3)))
    assert "and 8 more" in " ".join(text.split())


def test_a_healthy_network_shows_its_flattest_units():
    model = nn.Sequential(nn.Linear(3, 30), nn.ReLU())
    nn.init.zeros_(model[0].bias)
    text = str(audit(model, data(500, 3)))
    assert "The flattest units, all of them live:" in text
    assert "dead" not in text
    assert "A whole data set of 500 examples" in text


def test_long_names_and_many_sites_fit_80_columns():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            net = nn.Tanh()
            for _ in range(30):
                net = nn.Sequential(net)
            self.net = net

        def forward(self, x):
            return self.net(x)

    text = str(audit(Deep(), data(500, 3)))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" in text


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def test_the_html_is_well_formed_accessible_and_in_the_page_s_colours(report):
    tags = Tags(report._repr_html_())
    names = [tag for tag, _ in tags.seen]
    assert "script" not in names
    assert names.count("table") == names.count("caption") == 2
    assert all("scope" in attributes for tag, attributes in tags.seen if tag == "th")
    assert not any("#" in attributes.get("style", "") for _, attributes in tags.seen)
    assert "1,044 units" in tags.text
    assert "0–23" in tags.text


def test_the_html_escapes_names():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("<b>", nn.Tanh())

        def forward(self, x):
            return getattr(self, "<b>")(x)

    html = audit(Odd(), data(50, 3))._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_the_dict_is_plain_json(report):
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["counts"] == report.counts()
    site = plain["sites"]["1"]
    assert len(site["verdicts"]) == site["units"] == 1000
    assert site["recent"]["n"] == 1280
    assert site["recent"]["steps"] == [0, 78]
    assert len(site["recent"]["centred_dormancy"]) == 1000
    assert site["recent"]["dormancy"] is None
    assert site["history"]["dead"][0] >= 24
    assert plain["sites"]["3"]["recent"]["dormancy"][3] == 0
    json.dumps(audit(nn.Tanh(), data(50, 3)).to_dict())


def test_dead_units_by_site(report, model):
    assert report.dead() == {"1": list(range(24)), "3": [3, 7]}
    soft = report.dead("soft")
    assert set(soft["1"]) > set(range(24))
    assert list(soft) == ["1", "3"]
    with pytest.raises(ValueError, match="choose 'hard' or 'soft'"):
        report.dead("all")
    with pytest.raises(KeyError, match="there are '1', '3', '5'"):
        report["2"]
    with pytest.raises(ValueError, match="the verdicts are live"):
        report["1"].which("dead")
    assert sum(report.counts().values()) == 1044
    assert set(report.counts()) <= set(VERDICTS)


def test_a_report_stands_alone(report):
    again = pickle.loads(pickle.dumps(report))
    assert str(again) == str(report)


def test_a_report_inside_the_block_is_what_is_known_so_far():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with watch(model) as w:
        for seed in range(10):
            model(data(32, 3, seed=seed))
        early = w.report()
        text = str(early)
        for seed in range(90):
            model(data(32, 3, seed=seed))
        late = w.report()
    assert early["1"].whole.n == 320
    assert late["1"].whole.n == 3200
    assert str(early) == text  # a report does not change
    assert str(w.report()) == str(late)


def test_the_report_of_dead_units_is_what_surgery_takes(report, model):
    from mlpinit import surgery

    x = data(500, 3, seed=5)
    removal = surgery.remove(model, report.dead(), x)
    torch.testing.assert_close(removal.model(x), model.eval()(x), rtol=1e-4, atol=1e-5)
    assert removal.removed == report.dead()
    model.train()


def test_tensorboard(report, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        report.log(writer, 80)
        audit(Odd(), data(400, 2)).log(writer, 81, prefix="audit")
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (value,) = events.Scalars("watch/1/hard-dead")
    assert (value.step, value.value) == (80, 24)
    (value,) = events.Scalars("watch/1/mean_flat_share")
    assert value.value == pytest.approx(report["1"].recent.flat_share.mean().item())
    assert {"watch/3/hard-dead", "audit/tanh/hard-dead", "audit/inner.gelu-2/soft-dead"} <= set(
        events.Tags()["scalars"]
    )
    (histogram,) = events.Histograms("watch/1/units/mean")
    assert histogram.histogram_value.num == 1000
    assert "audit/tanh/units/std" not in events.Tags()["histograms"]  # a NaN among them
    assert "audit/layer/units/largest_slope" not in events.Tags()["histograms"]


class Odd(nn.Module):
    """A site of a function, a repeated one, a NaN, and a slope that is not seen."""

    def __init__(self):
        super().__init__()
        self.inner, self.layer = Twice(), nn.GRU(2, 2)

    def forward(self, x):
        x = self.layer(self.inner(x)[None])[0]
        return torch.tanh(x * torch.nan)


class Twice(nn.Module):
    def forward(self, x):
        return nn.functional.gelu(nn.functional.gelu(x))


def test_units_are_listed_as_spans():
    assert _spans([0, 1, 2, 7]) == "0–2, 7"
    assert _spans([4]) == "4"
    assert _spans(list(range(0, 20, 2))) == "0, 2, 4, 6, 8, 10, … 10 in all"


def test_what_is_no_number_is_null_in_json():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight[1] = torch.nan
    with watch(model) as w:
        model(torch.ones(400, 3))
    for report in (w.report(), audit(model, torch.ones(400, 3), progress=False)):
        read = json.loads(
            json.dumps(report.to_dict(), allow_nan=False), parse_constant=pytest.fail
        )["sites"]["1"]
        assert read["verdicts"][1] == "not finite"
        assert read["recent"]["mean"][1] is None
        assert read["recent"]["mean"][0] is not None


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_report_can_be_printed_where_letters_are_few(encoding, monkeypatch):
    model = nn.Sequential(nn.Linear(3, 40), nn.ReLU(), nn.Linear(40, 2))
    model.add_module("a_name_of_more_than_thirty_letters", nn.ReLU())
    with torch.no_grad():
        model[0].bias[[1, 2, 5, 8, 11, 14, 17, 20]] = -1e3
    report = audit(model, torch.ones(400, 3), progress=False)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    print(report)
    print(surgery.remove(model, {"1": [1]}, torch.ones(400, 3)))
    sys.stdout.flush()
    assert b"hard-dead" in sys.stdout.buffer.getvalue()
    assert b"->" in sys.stdout.buffer.getvalue()
