// A run on request, in a worker or, where there is none, in slices of the page's own time.
//
// Commands come in as {do, …}; reports go out through `post`: frames while it trains, a census at
// steps that are the same in every run, between them as often as a tenth of the time allows, and
// always where a run pauses.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});
  const SLICE = 20; // ms of work between two looks at what has come in
  const FRAME = 33;
  const COUNTED = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5].map((power) => n * 10 ** power));
  const SHARE = 10; // the work between two censuses, over a census

  lab.serve = (post, soon) => {
    let data, trainer, again, losses = [];
    let [goal, framed, counted, took, ticking] = [0, 0, 0, 0, false];

    function frame(extra = {}) {
      framed = performance.now();
      post({
        again, step: trainer.done, losses: Float32Array.from(losses), look: trainer.look(),
        rate: trainer.rateAt(trainer.done), running: trainer.done < goal, ...extra,
      });
      losses = [];
    }

    function count(extra = {}) {
      const start = performance.now();
      const { statistics, ...census } = trainer.census();
      const names = trainer.names(6, statistics);
      frame({ census: { ...census, units: trainer.units }, names, ...extra });
      counted = performance.now();
      took = counted - start;
    }

    function tick() {
      ticking = false;
      if (!trainer || trainer.done >= goal) return;
      const ahead = COUNTED.map((step) => step - trainer.done).filter((steps) => steps > 0);
      const steps = Math.min(goal - trainer.done, ...ahead);
      try {
        losses.push(...trainer.train(steps, performance.now() + SLICE));
      } catch (error) {
        goal = 0;
        losses.push(...(error.losses ?? []));
        post({ again, stopped: error.message, step: trainer.done, losses: Float32Array.from(losses) });
        trainer = undefined;
        return;
      }
      const now = performance.now();
      const due = trainer.done >= goal || COUNTED.includes(trainer.done);
      if (due || now - counted > SHARE * took) count();
      else if (now - framed > FRAME) frame();
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
        post({ table: lab.tableLoss(data), examples: data.train.n });
      },
      start({ settings, number }) {
        again = number;
        [goal, losses] = [0, []];
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
        if (trainer) trainer.rate = value;
      },
      // In the middle of a run: what was done is told with a census before and after.
      rescue({ what, value }) {
        if (!trainer) return;
        const census = trainer.census();
        const n = { shrink: () => trainer.shrink(value), norm: () => trainer.switchNorm(value),
          recycle: () => trainer.recycle(census), remove: () => trainer.remove(census) }[what]();
        count({ done: { what, value, n, step: trainer.done } });
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
