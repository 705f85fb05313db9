"""Padding is no evidence, and what is counted as an example is one of the model's own batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlpinit.watch import audit, watch


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Reader(nn.Module):
    """Ids (batch, time), 0 for padding; `form` is how the rows are laid out in between.

    Unit 2 fires on padding alone, unit 4 on real tokens alone, unit 0 never.
    """

    def __init__(self, form="rows"):
        super().__init__()
        torch.manual_seed(0)
        self.form = form
        self.embed, self.into, self.out = nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 2)
        with torch.no_grad():
            self.embed.weight[:, 0] = -1.0
            self.embed.weight[0, 0] = 1.0
            self.into.weight[::2] = 0.0
            self.into.weight[2, 0], self.into.weight[4, 0] = 1.0, -1.0
            self.into.bias[:] = torch.tensor([-5.0, 5.0, 0.0, 5.0, 0.0, 5.0])

    def forward(self, input_ids, attention_mask=None):
        x = self.embed(input_ids)
        if self.form == "flattened":
            return self.out(F.relu(self.into(x.view(-1, 4))))
        if self.form == "time first":
            return self.out(F.relu(self.into(x.transpose(0, 1))))
        if self.form == "time first, flattened":
            return self.out(F.relu(self.into(x.transpose(0, 1).flatten(0, 1))))
        if self.form == "channels":
            return F.relu(self.into(x).transpose(1, 2))
        if self.form == "a further axis":
            return self.out(F.relu(self.into(x).unsqueeze(2).expand(-1, -1, 3, -1)))
        if self.form == "routed":
            x = x.view(-1, 4)
            return self.out(F.relu(self.into(x[torch.arange(0, len(x), 3)])))
        return self.out(F.relu(self.into(x)))


def padded(batches=40, rows=10, time=7, longest=3):
    """Batches of ids that are mostly padding, with the number of tokens that are not."""
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 9, (batches, rows, time), generator=g)
    ids[:, :, longest:] = 0
    return [*ids], batches * rows * longest


FORMS = ("rows", "flattened", "time first", "time first, flattened", "channels", "a further axis")
DEAD = {":relu": [0, 2]}


def run(model, batches, **options):
    with watch(model, **options) as w:
        for batch in batches:
            model(**batch) if isinstance(batch, dict) else model(batch)
    return w.report()


@pytest.mark.parametrize("form", FORMS)
def test_a_unit_that_fires_on_padding_alone_is_dead(form):
    model, (batches, tokens) = Reader(form), padded()
    for report in (
        run(model, batches, mask=lambda ids: ids != 0),
        audit(model, batches, mask=lambda ids: ids != 0, progress=False),
        run(model, [{"input_ids": ids, "attention_mask": (ids != 0).int()} for ids in batches]),
        audit(model, [{"input_ids": b, "attention_mask": b.sign()} for b in batches]),
    ):
        site = report[":relu"]
        assert report.dead() == DEAD
        assert site.whole.n == tokens * (3 if form == "a further axis" else 1)
        assert site.whole.examples == 400
        assert not site.notes
        assert "1,600 of 2,800 rows of the input were left out" in " ".join(str(report).split())
    assert run(model, batches).dead() == {":relu": [0]}


def test_the_figures_are_those_of_the_rows_that_count():
    model, (batches, _) = Reader(), padded(longest=4)
    report = audit(model, batches, mask=lambda ids: ids != 0, progress=False)
    with torch.no_grad():
        h = torch.cat([F.relu(model.into(model.embed(ids)))[ids != 0] for ids in batches]).double()
    figures = report[":relu"].whole
    torch.testing.assert_close(figures.mean, h.mean(0), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(figures.std, h.std(0, correction=0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(figures.largest, h.amax(0))
    torch.testing.assert_close(figures.zero_share, (h == 0).double().mean(0))


def test_a_square_batch_is_read_as_the_others_were():
    model, (batches, _) = Reader("time first"), padded()
    assert run(model, [*batches, batches[0][:7]], mask=lambda ids: ids != 0).dead() == DEAD
    report = run(model, [ids.mT for ids in batches], mask=lambda ids: ids.mT != 0, batch_axis=1)
    assert report.dead() == DEAD


def test_whole_examples_can_be_left_out():
    model = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.ReLU())
    x = data(400, 4)
    report = run(model, [x], mask=lambda batch: batch[:, 0] > 0)
    n = int((x[:, 0] > 0).sum())
    assert (report["2"].whole.n, report["2"].whole.examples) == (2 * n, n)


def test_a_mask_in_a_plain_model_counts_too():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    x = data(400, 4)
    report = run(model, [x, x, x], mask=lambda b: b[:, 0] > 0)
    assert report["1"].whole.n == 3 * int((x[:, 0] > 0).sum())


def test_where_the_rows_cannot_be_told_all_are_counted_and_the_report_says_so():
    model, (batches, _) = Reader("routed"), padded()
    report = run(model, batches, mask=lambda ids: ids != 0)
    assert report[":relu"].whole.n == 40 * 24
    assert any(
        "not laid out" in note and "40 applications" in note for note in report[":relu"].notes
    )


def test_a_loop_over_time_steps_cannot_be_told():
    cell = nn.RNNCell(3, 5)

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell

        def forward(self, x):
            h = None
            for t in range(x.size(1)):
                h = self.cell(x[:, t], h)
            return h

    report = run(Loop(), [data(50, 4, 3)] * 8, mask=lambda x: (x[..., 0] > 9) | (x[..., 0] < 1))
    assert any("not laid out" in note for note in report["cell"].notes)


def test_a_pooled_row_counts_where_the_example_has_one():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 5)

        def forward(self, x):
            return torch.tanh(self.lin(x[:, 0]))

    mask = torch.ones(40, 6, dtype=torch.bool)
    mask[:, 3:], mask[:7] = False, False
    report = run(Pooled(), [data(40, 6, 3)] * 10, mask=lambda x: mask)
    assert report[":tanh"].whole.n == report[":tanh"].whole.examples == 330
    assert not report[":tanh"].notes


def test_the_model_s_own_mask_is_used_however_it_is_given():
    model, (batches, tokens) = Reader(), padded()

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, batch):
            return self.inner(batch["input_ids"])

    def n(model, call, **options):
        with watch(model, **options) as w:
            for ids in batches:
                call(model, ids, (ids != 0).float())
        return next(iter(w.report().sites.values())).whole.n

    whole = 40 * 70
    assert n(model, lambda m, ids, mask: m(ids, mask)) == tokens
    assert n(model, lambda m, ids, mask: m(ids, attention_mask=mask)) == tokens
    named = lambda m, ids, mask: m({"input_ids": ids, "attention_mask": mask})  # noqa: E731
    assert n(Whole(), named) == tokens
    assert n(model, lambda m, ids, mask: m(ids, mask), mask=False) == whole
    added = lambda m, ids, mask: m(ids, (1 - mask) * -1e9)  # noqa: E731
    assert n(model, added) == whole
    assert n(model, lambda m, ids, mask: m(ids, torch.ones_like(mask))) == whole


def test_of_an_encoder_and_a_decoder_the_mask_is_one_s_alone():
    model, (batches, _) = Reader(), padded()
    model.config = type("Config", (), {"is_encoder_decoder": True})
    report = run(model, [{"input_ids": ids, "attention_mask": ids.sign()} for ids in batches])
    assert report[":relu"].whole.n == 2800
    assert any("the encoder's" in note and "mask= tells" in note for note in report.notes)


WRONG = {
    "no tensor": (lambda ids: [1], TypeError, "mask gave a list; wanted a bool tensor"),
    "numbers": (lambda ids: ids, TypeError, "a torch.int64 tensor"),
    "another batch": (lambda ids: ids[1:] != 0, ValueError, r"shape \(9, 7\) for a batch of \(10,"),
    "another time": (lambda ids: ids[:, 1:] != 0, ValueError, r"shape \(10, 6\)"),
    "transposed": (lambda ids: ids.mT != 0, ValueError, r"shape \(7, 10\)"),
    "a further axis": (lambda ids: (ids != 0)[..., None], ValueError, "7, 1"),
    "a single number": (lambda ids: ids.any(), ValueError, r"shape \(\)"),
}


@pytest.mark.parametrize(("mask", "error", "said"), WRONG.values(), ids=WRONG)
def test_a_mask_of_another_shape_is_an_error_of_an_audit_and_a_note_of_a_watch(mask, error, said):
    model, (batches, _) = Reader(), padded()
    runs = []
    with pytest.raises(error, match=said):
        audit(model, batches, mask=mask, call=lambda m, b: runs.append(m(b)), progress=False)
    with pytest.raises(error, match=said):
        audit(model, [{"input_ids": batches[0]}], mask=lambda b: mask(b["input_ids"]))
    assert not runs
    report = run(model, batches, mask=mask)
    assert report[":relu"].whole.n == 2800
    assert any("40 forward passes were counted whole" in note for note in report.notes)


def test_a_mask_that_fails_is_a_note():
    report = run(Reader(), padded()[0], mask=lambda batch: batch["attention_mask"])
    assert any("IndexError" in note or "TypeError" in note for note in report.notes)
    with pytest.raises(TypeError, match="mask is 3; wanted a function"):
        watch(Reader(), mask=3)


def test_of_several_arguments_the_mask_is_given_a_dict_by_name():
    model, (batches, tokens) = Reader(), padded()
    with watch(model, mask=lambda batch: batch["input_ids"] != 0) as w:
        for ids in batches:
            model(ids, attention_mask=None)
    assert w.report()[":relu"].whole.n == tokens


def test_outputs_gradients_and_random_numbers_stay_under_a_mask():
    model, ids = Reader(), padded()[0][0]
    want = model(ids)
    want.square().sum().backward()
    grads = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    state = torch.random.get_rng_state()
    with watch(model, mask=lambda ids: ids != 0):
        got = model(ids)
        got.square().sum().backward()
    assert torch.equal(got, want)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(map(torch.equal, grads, [p.grad for p in model.parameters()]))


# What an example is.


class Cut(nn.Module):
    """Ids (batch, time), cut otherwise before the activation."""

    def __init__(self, cut):
        super().__init__()
        self.embed, self.lin, self.cut = nn.Embedding(9, 4), nn.Linear(4, 6), cut

    def forward(self, ids):
        return torch.tanh(self.lin(self.cut(self.embed(ids))))


CUTS = {
    "tokens": lambda x: x.flatten(0, 1),
    "windows": lambda x: x.unflatten(1, (4, 3)).transpose(1, 2).flatten(0, 1),
    "time first": lambda x: x.transpose(0, 1),
    "the usual": lambda x: x,
    "pooled": lambda x: x.mean(1),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("batch", [5, 12, 40])
def test_examples_are_those_of_the_model_s_own_batch(cut, batch):
    report = audit(Cut(cut), [torch.randint(0, 9, (batch, 12))] * 3, progress=False)
    assert report[":tanh"].whole.examples == 3 * batch


def test_a_site_that_is_shown_fewer_rows_has_fewer_examples():
    report = audit(Cut(lambda x: x[:3]), [torch.randint(0, 9, (40, 12))], progress=False)
    assert report[":tanh"].whole.examples == 3
    report = audit(Cut(lambda x: x.flatten(0, 1)[:2]), [torch.randint(0, 9, (40, 12))])
    assert report[":tanh"].whole.examples == 2


def test_tokens_of_a_plain_model_are_no_examples():
    model = nn.Sequential(nn.Flatten(0, 1), nn.Linear(4, 6), nn.ReLU())
    report = run(model, [data(10, 7, 4)] * 5)
    assert (report["2"].whole.n, report["2"].whole.examples) == (350, 50)


def test_an_input_without_a_batch_is_one_example():
    report = audit(nn.Sequential(nn.Conv2d(3, 5, 2), nn.ReLU()), [data(3, 6, 6)] * 4)
    assert report["1"].whole.examples == 4


def test_the_batch_is_found_in_a_dict_and_beside_other_things():
    class Named(Cut):
        def forward(self, batch, scale=1.0):
            return super().forward(batch["ids"])

    model = Named(CUTS["tokens"])
    batch = {"temperature": torch.tensor(1.0), "ids": torch.randint(0, 9, (40, 12))}
    assert audit(model, [batch], call=lambda m, b: m(b))[":tanh"].whole.examples == 40
    model = Named(CUTS["tokens"])
    with watch(model) as w:
        model(scale=2.0, batch=batch)
    assert w.report()[":tanh"].whole.examples == 40


def test_sequences_of_a_recurrent_layer_are_where_it_has_them():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(4, 5, batch_first=True)

        def forward(self, x):  # (batch, words, letters, 4)
            return self.rnn(x.flatten(0, 1))[0]

    report = audit(Words(), [data(6, 9, 5, 4)], progress=False)
    assert report["rnn"].whole.examples == 6
