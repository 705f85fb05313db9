// A run on request, in a worker or, where there is none, in slices of the page's own time.
// {do, …} comes in; frames go out through `post`, with a census at steps that follow from the run's
// length alone, so that the same run has the same history, and one in passing where it pauses.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});
  const SLICE = 20; // ms of work between two looks at what has come in
  const FRAME = 33;
  const LOOKS = 20; // over a run's length, besides those at its beginning
  const EARLY = [1, 10, 100, 1000].flatMap((power) => [1, 2, 5].map((n) => n * power));
  const DEAD = 2; // a unit's state from here on

  // The step after `done` at which the units of a run of `steps` steps are counted next.
  lab.nextLook = (done, steps) => {
    const every = Math.max(1, Math.round(steps / LOOKS));
    const early = EARLY.find((step) => step > done && step < every);
    return early ?? (Math.floor(done / every) + 1) * every;
  };

  // Which units are dead: a Map by number, per layer.
  const deadOf = ({ layers }, units) =>
    layers.map(({ state }, l) => new Map(units[l].map((id, j) => [id, state[j] >= DEAD])));

  // So that dead = born + deaths − revivals − recycled − removed; `drawn`: the dead were all drawn anew.
  function tally(counts, before, now, drawn) {
    const next = { ...counts };
    before.forEach((layer, l) => layer.forEach((was, id) => {
      const is = now[l].get(id);
      if (is === undefined) next.removed++;
      else if (was && drawn) {
        next.recycled++;
        if (is) next.deaths++;
      } else if (was !== is) next[is ? "deaths" : "revivals"]++;
    }));
    return next;
  }

  lab.serve = (post, soon) => {
    let data, trainer, again, losses = [];
    let [goal, framed, ticking] = [0, 0, false];
    let last; // {dead, counts} at the last look that counts

    function frame(extra = {}) {
      framed = performance.now();
      post({
        again, step: trainer.done, losses: Float32Array.from(losses), look: trainer.look(),
        rate: trainer.rateAt(trainer.done), running: trainer.done < goal, ...extra,
      });
      losses = [];
    }

    // The look after one in passing is compared with the last that was not.
    function count({ drawn = false, ...extra } = {}) {
      const { statistics, ...census } = trainer.census();
      const passing = !extra.done && !fixed(trainer.done);
      const counts = note(census, passing, drawn);
      const names = trainer.names(6, statistics);
      frame({ census: { ...census, units: trainer.units, counts, passing }, names, ...extra });
    }

    function note(census, passing, drawn) {
      const dead = deadOf(census, trainer.units);
      const born = dead.reduce((sum, layer) => sum + [...layer.values()].filter(Boolean).length, 0);
      const counts = last ? tally(last.counts, last.dead, dead, drawn)
        : { born, deaths: 0, revivals: 0, recycled: 0, removed: 0 };
      if (!passing) last = { dead, counts };
      return counts;
    }

    const fixed = (step) => step === 0 || lab.nextLook(step - 1, trainer.settings.steps) === step;

    function tick() {
      ticking = false;
      if (!trainer || trainer.done >= goal) return;
      const look = lab.nextLook(trainer.done, trainer.settings.steps);
      const steps = Math.min(goal, look) - trainer.done;
      try {
        losses.push(...trainer.train(steps, performance.now() + SLICE));
      } catch (error) {
        goal = 0;
        losses.push(...(error.losses ?? []));
        post({ again, stopped: error.message, step: trainer.done, losses: Float32Array.from(losses) });
        trainer = undefined;
        return;
      }
      if (trainer.done === look || trainer.done >= goal) count();
      else if (performance.now() - framed > FRAME) frame();
      go();
    }

    function go() {
      if (ticking) return;
      ticking = true;
      soon(tick);
    }

    const commands = {
      words({ list, packed }) {
        data = lab.split(list ?? lab.unpackWords(packed));
        post({ table: lab.tableLoss(data), letters: lab.lettersLoss(data), examples: data.train.n });
      },
      start({ settings, number }) {
        again = number;
        [goal, losses, last] = [0, [], undefined];
        trainer = new lab.Trainer(data, settings);
        count();
      },
      run({ to }) {
        goal = to;
        go();
      },
      pause() {
        goal = 0;
        if (trainer) count();
      },
      rate({ value }) {
        if (!trainer) return;
        trainer.rate = value;
        frame({ done: { what: "rate", value, step: trainer.done } });
      },
      // In the middle of a run: what was done is told with a census after it.
      rescue({ what, value }) {
        if (!trainer) return;
        const census = trainer.census();
        note(census, false, false);
        const n = { shrink: () => trainer.shrink(value), norm: () => trainer.switchNorm(value),
          recycle: () => trainer.recycle(census), remove: () => trainer.remove(census) }[what]();
        count({ drawn: what === "recycle", done: { what, value, n, step: trainer.done } });
      },
    };
    return (message) => {
      try {
        commands[message.do](message);
      } catch (error) {
        goal = 0;
        post({ again, stopped: error.message, step: trainer?.done ?? 0, losses: new Float32Array(0) });
      }
    };
  };
})();
