// What labs draw with: words for numbers, text and lines, histograms, curves, the saturation map.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});

  const BINS = 50; // of a histogram
  let small; // canvas, shared by all maps

  const percent = (share) =>
    share === 0 ? "0%" : share < 0.0005 ? "under 0.1%" : `${(100 * share).toFixed(1)}%`;

  // Three digits: 0.123, 12.3, 1.23e-5.
  function three(x) {
    if (x === 0) return "0";
    const size = Math.abs(x);
    return size >= 1e-3 && size < 1e4 ? String(Number(x.toPrecision(3))) : x.toExponential(2);
  }

  // 1, 2 or 5 times a power of ten, at least x.
  function nice(x) {
    const power = 10 ** Math.floor(Math.log10(x));
    return [1, 2, 5, 10].map((m) => m * power).find((one) => one >= x * 0.999999);
  }

  function text(brush, words, x, y, align = "left", color = "faint") {
    brush.context.fillStyle = brush.color(color);
    brush.context.textAlign = align;
    brush.context.fillText(words, x, y);
  }

  function line(brush, points, color, dash = []) {
    const { context } = brush;
    context.strokeStyle = brush.color(color);
    context.setLineDash(dash);
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    context.setLineDash([]);
  }

  // One histogram a layer, the first on top, over one axis; the chosen layer's in full colour.
  function ridges(brush, layers, chosen, [low, high], color) {
    const { context, width, height } = brush;
    const many = layers.length > 1;
    const [left, right, top, bottom] = [many ? 22 : 8, width - 8, many ? 2 : 18, height - 20];
    const room = (bottom - top) / layers.length;
    layers.forEach((shares, l) => {
      const base = top + room * (l + 1);
      const most = Math.max(...shares);
      context.fillStyle = brush.color(color);
      context.globalAlpha = l === chosen ? 1 : 0.45;
      context.beginPath();
      shares.forEach((share, i) => {
        const x = (k) => left + ((right - left) * k) / shares.length;
        const tall = (share / most) * (room - 3);
        context.rect(x(i), base - tall, x(i + 1) - x(i) - (many ? 0 : 0.6), tall);
      });
      context.fill();
      context.globalAlpha = 1;
      line(brush, [[left, base], [right, base]], "line");
      if (many) {
        text(brush, String(l + 1), left - 6, base - room / 2, "right", l === chosen ? "ink" : "faint");
      } else {
        const of = width > 220 ? " of the entries" : "";
        text(brush, `tallest bar: ${percent(most)}${of}`, left, 8);
      }
    });
    const middle = low < 0 && high > -low * 3 ? 0 : (low + high) / 2;
    const place = (value) => left + ((right - left) * (value - low)) / (high - low);
    for (const [value, align] of [[low, "left"], [middle, "center"], [high, "right"]]) {
      if (align !== "center" || place(value) - left > 40) {
        text(brush, three(value).replace("-", "−"), place(value), height - 8, align);
      }
    }
  }

  function dot(brush, x, y, color, hollow) {
    const { context } = brush;
    context.beginPath();
    context.arc(x, y, 3.5, 0, 2 * Math.PI);
    context.fillStyle = brush.color(hollow ? "ground" : color);
    context.strokeStyle = brush.color(color);
    context.fill();
    context.stroke();
  }

  // What each colour stands for, [{color, hollow, label}], along the top from x on, in lines of
  // `room` pixels; how many lines.
  function legend(brush, entries, x, room = 15) {
    let [at, lines] = [x, 1];
    for (const { color, hollow, label } of entries) {
      const wide = 12 + brush.context.measureText(label).width;
      if (at > x && at + wide > brush.width) [at, lines] = [x, lines + 1];
      const y = 9 + room * (lines - 1);
      dot(brush, at + 4, y, color, hollow);
      text(brush, label, at + 12, y, "left", "ink");
      at += 12 + wide;
    }
    return lines;
  }

  // Values on a logarithmic axis, [{values, color, hollow, label}], over the layers or over `names`;
  // a value that is null has no dot. The axis holds `within` where given, and a line at `mark`.
  function overLayers(brush, lines, { names, within, mark } = {}) {
    const { width, height } = brush;
    const all = (within ?? lines.flatMap(({ values }) => values)).filter((one) => one > 0);
    if (!all.length) all.push(1);
    const low = Math.floor(Math.log10(Math.min(...all)) - 0.1);
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all)) + 0.1));
    const [left, right, top, bottom] = [44, width - 12, 22, height - 20];
    const n = lines[0].values.length;
    const x = (l) => (n === 1 ? (left + right) / 2 : left + 8 + ((right - left - 16) * l) / (n - 1));
    const y = (value) => bottom - ((bottom - top) * (Math.log10(value) - low)) / (high - low);
    const every = Math.ceil((high - low) / 4);
    for (let power = low; power <= high; power += every) {
      line(brush, [[left, y(10 ** power)], [right, y(10 ** power)]], "line");
      const tick = Math.abs(power) < 3 ? String(Number((10 ** power).toPrecision(1))) : `1e${power}`;
      text(brush, tick.replace("-", "−"), left - 6, y(10 ** power), "right");
    }
    if (mark) line(brush, [[left, y(mark)], [right, y(mark)]], "ink", [2, 3]);
    for (let l = 0; l < n; l++) text(brush, names?.[l] ?? String(l + 1), x(l), height - 8, "center");
    lines.forEach(({ values, color, hollow }, k) => {
      const aside = names ? 8 * (k - (lines.length - 1) / 2) : 0;
      const seen = values.map((value, l) => [x(l) + aside, y(value)]).filter((_, l) => values[l] > 0);
      if (!names) line(brush, seen, color, hollow ? [4, 3] : []);
      seen.forEach(([px, py]) => dot(brush, px, py, color, hollow));
      values.forEach((value, l) => {
        if (value === 0) text(brush, "0", x(l) + aside, bottom - 8, "center", color); // no place here
      });
    });
    legend(brush, lines, left);
  }

  // flat: rows · width, row by row. A cell is a pixel of a small picture, which is then drawn large.
  function map(brush, flat, width) {
    const { context, width: w, height: h, color } = brush;
    small ??= document.createElement("canvas");
    const rows = flat.length / width;
    Object.assign(small, { width, height: rows });
    const ink = small.getContext("2d");
    const image = ink.createImageData(width, rows);
    const pixels = new Uint32Array(image.data.buffer);
    flat.forEach((white, i) => (pixels[i] = white ? 0xffffffff : 0xff000000));
    ink.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 1, 1, w - 2, h - 2);
    context.strokeStyle = color("faint");
    context.strokeRect(0.5, 0.5, w - 1, h - 1);
  }

  Object.assign(lab, { BINS, dot, legend, line, map, nice, overLayers, percent, ridges, text, three });
})();
