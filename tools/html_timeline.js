// The timeline and the depth below it, on canvases: they show the same stretch of time and move together.

const timeline = (() => {
  const canvas = byId('timeline');
  const depthCanvas = byId('depth');
  const AXIS = 22;
  const BAND_GAP = 18;
  const MAX_HEIGHT = 6000;
  const hidden = new Set();
  let onlyErrors = false;
  let selected = -1;
  let colours = {};
  let frame = 0;

  // A little more than everything, so that nothing sticks to the edge.
  const whole = {from: -0.01 * trace.duration - 1, to: 1.01 * trace.duration + 1};
  const view = {...whole};

  const inTime = [...ops.kind.keys()].sort((a, b) => ops.queued[a] - ops.queued[b]);
  const isShown = (op) => !hidden.has(ops.kind[op]) && (!onlyErrors || hasFailed(op));

  // Lanes of each process: what overlaps stands one below the other.
  const bands = trace.processes.map((name) => ({name, lanes: []}));
  const laneOf = new Int32Array(inTime.length);
  for (const op of inTime) {
    const {lanes} = bands[ops.process[op]];
    const begin = ops.queued[op];
    let lane = lanes.findIndex((one) => one.end <= begin);
    if (lane < 0) lane = lanes.push({ops: []}) - 1;
    lanes[lane].ops.push(op);
    lanes[lane].end = begin + ops.total[op];
    laneOf[op] = lane;
  }
  const laneCount = bands.reduce((sum, band) => sum + band.lanes.length, 0);
  const gaps = AXIS + 6 + bands.length * BAND_GAP;
  const pitch = Math.max(2, Math.min(18, Math.floor(420 / Math.max(1, laneCount)), (MAX_HEIGHT - gaps) / Math.max(1, laneCount)));
  const height = Math.max(120, Math.min(MAX_HEIGHT, gaps + laneCount * pitch));
  const byPid = [...bands].sort((a, b) => a.name.localeCompare(b.name, 'en', {numeric: true}));
  let y = AXIS;
  for (const band of byPid) {
    band.top = y;
    y += BAND_GAP + band.lanes.length * pitch;
  }
  const yOf = (op) => bands[ops.process[op]].top + BAND_GAP - 2 + laneOf[op] * pitch;

  const xOf = (ns, width) => (ns - view.from) / (view.to - view.from) * width;
  const timeAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return view.from + (event.clientX - box.left) / box.width * (view.to - view.from);
  };

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue('--' + name).trim();
    colours = {kinds: [], waiting: read('waiting'), underWay: read('under-way'), error: read('error'), ink: read('ink'),
               faint: read('faint'), line: read('line'), band: read('band'), card: read('card'), focus: read('focus')};
    for (let i = 0; i < COLOURS; ++i) colours.kinds.push(read('c' + i));
  }

  function prepared(target, cssHeight) {
    const scale = window.devicePixelRatio || 1;
    const width = target.clientWidth;
    target.style.height = cssHeight + 'px';
    target.width = Math.max(1, Math.round(width * scale));
    target.height = Math.max(1, Math.round(cssHeight * scale));
    const context = target.getContext('2d');
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = '11px system-ui, "DejaVu Sans", sans-serif';
    context.textBaseline = 'middle';
    return [context, width];
  }

  function ticks(width) {
    const wanted = (view.to - view.from) / Math.max(2, width / 110);
    const power = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((part) => part * power).find((one) => one >= wanted);
    const all = [];
    for (let i = Math.ceil(view.from / step); i * step <= view.to && all.length < 100; ++i) all.push(i * step || 0);
    return all;
  }

  function drawGrid(context, width, from, to) {
    context.strokeStyle = colours.line;
    context.beginPath();
    for (const tick of ticks(width)) {
      const x = Math.round(xOf(tick, width)) + 0.5;
      context.moveTo(x, from);
      context.lineTo(x, to);
    }
    context.stroke();
  }

  function drawOperation(context, op, width, isWide) {
    const begin = xOf(ops.queued[op], width);
    const end = xOf(ops.queued[op] + ops.total[op], width);
    const x = Math.max(-2, begin);
    const right = Math.max(x + 1, Math.min(width + 2, end));
    const top = yOf(op);
    const tall = Math.max(1, pitch - (pitch > 5 ? 2 : 0.5));
    context.fillStyle = colours.kinds[kinds[ops.kind[op]].colour];
    if (ops.waited[op] > 0) {
      const started = Math.max(x, Math.min(right, xOf(ops.queued[op] + ops.waited[op], width)));
      context.globalAlpha = 0.35;
      context.fillRect(x, top, started - x, tall);
      context.globalAlpha = 1;
      context.fillRect(started, top, Math.max(0.5, right - started), tall);
    } else {
      context.fillRect(x, top, right - x, tall);
    }
    if (hasFailed(op)) {
      context.fillStyle = colours.error;
      if (right - x < 5) context.fillRect(x, top, Math.max(1.5, right - x), tall);
      else context.fillRect(right - 3, top, 3, tall);
    }
    if (isWide && pitch >= 12 && right - x > 40) {
      context.save();
      context.beginPath();
      context.rect(x, top, right - x - 4, tall);
      context.clip();
      // The part that waited is pale.
      const isOnPale = ops.waited[op] > 0 && xOf(ops.queued[op] + ops.waited[op], width) - x > 40;
      context.fillStyle = isOnPale ? colours.ink : colours.card;
      const target = textOf(ops.target[op]);
      context.fillText(kinds[ops.kind[op]].name + (target ? ' ' + target : ''), Math.max(2, x + 5), top + tall / 2 + 0.5);
      context.restore();
    }
    if (op === selected) {
      context.strokeStyle = colours.ink;
      context.lineWidth = 2;
      context.strokeRect(x - 1, top - 1, right - x + 2, tall + 2);
      context.lineWidth = 1;
    }
  }

  function drawTimeline() {
    const [context, width] = prepared(canvas, height);
    context.clearRect(0, 0, width, height);
    for (const [index, band] of byPid.entries()) {
      if (index % 2 === 0) continue;
      context.fillStyle = colours.band;
      context.fillRect(0, band.top, width, BAND_GAP + band.lanes.length * pitch);
    }
    drawGrid(context, width, AXIS - 4, height);
    context.fillStyle = colours.faint;
    context.textAlign = 'center';
    for (const tick of ticks(width)) {
      const x = xOf(tick, width);
      if (x > 24 && x < width - 24) context.fillText(time(tick), x, AXIS / 2 - 1);
    }
    context.textAlign = 'left';
    let count = 0;
    for (const band of bands) {
      for (const lane of band.lanes) {
        let drawnTo = -1;
        for (const op of lane.ops) {
          if (!isShown(op) || ops.queued[op] > view.to || ops.queued[op] + ops.total[op] < view.from) continue;
          ++count;
          // What ends within the pixel that was drawn last cannot be seen, unless it failed.
          const end = xOf(ops.queued[op] + ops.total[op], width);
          if (end < drawnTo && !hasFailed(op) && op !== selected) continue;
          drawOperation(context, op, width, true);
          drawnTo = Math.floor(end) + 1;
        }
      }
      context.fillStyle = colours.faint;
      context.fillText('pid ' + band.name, 6, band.top + BAND_GAP / 2 - 1);
    }
    byId('window').textContent = `${time(Math.max(0, view.from))} to ${time(Math.min(trace.duration, view.to))}, ` +
                                 plural(count, 'operation', 'operations');
  }

  function drawDepth() {
    const tall = 92;
    const [context, width] = prepared(depthCanvas, tall);
    context.clearRect(0, 0, width, tall);
    const {from, step, waiting, under_way: underWay} = trace.depth;
    const most = waiting.reduce((so_far, value, i) => Math.max(so_far, value + underWay[i]), 0) || 1;
    const yAt = (value) => tall - 2 - (tall - 16) * value / most;
    drawGrid(context, width, 0, tall);
    const area = (top, colour) => {
      context.fillStyle = colour;
      context.beginPath();
      context.moveTo(xOf(from, width), yAt(0));
      waiting.forEach((_, i) => {
        context.lineTo(xOf(from + i * step, width), yAt(top(i)));
        context.lineTo(xOf(from + (i + 1) * step, width), yAt(top(i)));
      });
      context.lineTo(xOf(from + waiting.length * step, width), yAt(0));
      context.fill();
    };
    area((i) => underWay[i] + waiting[i], colours.waiting);
    area((i) => underWay[i], colours.underWay);
    context.fillStyle = colours.faint;
    context.fillText(`up to ${rounded(most)}`, 6, 9);
  }

  function draw() {
    frame = 0;
    drawTimeline();
    drawDepth();
  }
  const redraw = () => {
    frame = frame || requestAnimationFrame(draw);
  };

  // Keeps the view within the trace and wide enough to tell two nanoseconds apart.
  function look(from, to) {
    const span = Math.min(whole.to - whole.from, Math.max(20, to - from));
    const begin = Math.max(whole.from, Math.min(whole.to - span, (from + to - span) / 2));
    view.from = begin;
    view.to = begin + span;
    redraw();
  }
  const move = (share) => look(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
  const zoom = (factor, around = (view.from + view.to) / 2) => look(around - (around - view.from) * factor, around + (view.to - around) * factor);
  const everything = () => look(whole.from, whole.to);

  function select(op) {
    selected = op;
    redraw();
    if (op < 0) return byId('details').replaceChildren(element('span', {class: 'faint'}, 'Select an operation to read about it here.'));
    const waited = ops.waited[op];
    const facts = [['', kinds[ops.kind[op]].name], ['on', textOf(ops.target[op])], ['result', resultOf(op)], ['pid', trace.processes[ops.process[op]]],
                   ['seq', ops.seq[op]], ['at', time(ops.queued[op])], ['latency', time(ops.total[op])],
                   ['waited', waited < 0 ? '' : time(waited)], ['under way', waited < 0 ? '' : time(ops.total[op] - waited)]];
    byId('details').replaceChildren(...facts.filter(([, value]) => value !== '').map(([name, value]) =>
      element('span', {}, name ? name + ' ' : dot(ops.kind[op]), name ? '' : ' ', element('b', {}, value))));
  }

  function show(op) {
    if (!isShown(op)) setHidden(ops.kind[op], false);
    const margin = Math.max(100, ops.total[op]);
    look(ops.queued[op] - margin, ops.queued[op] + ops.total[op] + margin);
    select(op);
    canvas.scrollIntoView({block: 'nearest'});
    byId('lanes').scrollTop = yOf(op) - 100;
    canvas.focus({preventScroll: true});
  }

  // The next one that is shown, in the order of time; of those that `fits`.
  function step(by, fits = () => true) {
    const at = selected < 0 ? (by > 0 ? -1 : inTime.length) : inTime.indexOf(selected);
    for (let i = at + by; i >= 0 && i < inTime.length; i += by) {
      if (!isShown(inTime[i]) || !fits(inTime[i])) continue;
      const op = inTime[i];
      select(op);
      if (ops.queued[op] < view.from || ops.queued[op] > view.to) move((ops.queued[op] - (view.from + view.to) / 2) / (view.to - view.from));
      byId('lanes').scrollTop = yOf(op) - 100;
      return;
    }
  }

  function hit(event) {
    const box = canvas.getBoundingClientRect();
    const at = timeAt(event);
    const yAt = event.clientY - box.top;
    const slack = 3 / box.width * (view.to - view.from);
    for (const band of bands) {
      const lane = band.lanes[Math.floor((yAt - band.top - BAND_GAP + 2) / pitch)];
      if (yAt < band.top || yAt > band.top + BAND_GAP + band.lanes.length * pitch || !lane) continue;
      const found = lane.ops.find((op) => isShown(op) && ops.queued[op] - slack <= at && at <= ops.queued[op] + ops.total[op] + slack);
      return found === undefined ? -1 : found;
    }
    return -1;
  }

  const chips = new Map();
  function setHidden(kind, isHidden) {
    if (isHidden) hidden.add(kind);
    else hidden.delete(kind);
    chips.get(kind).setAttribute('aria-pressed', String(!isHidden));
    redraw();
  }

  function fillLegend() {
    const used = new Set(ops.kind);
    for (const kind of [...used].sort((a, b) => kinds[b].total - kinds[a].total)) {
      const chip = element('button', {type: 'button', 'aria-pressed': 'true', onclick: () => setHidden(kind, !hidden.has(kind))},
                           dot(kind), `${kinds[kind].name} ${number(kinds[kind].calls)}`);
      chips.set(kind, chip);
      byId('legend').append(chip);
    }
    if (!inTime.some(hasFailed)) return;
    const chip = element('button', {type: 'button', 'aria-pressed': 'true'}, element('i', {class: 'dot error'}), 'failed or not');
    chip.addEventListener('click', () => {
      onlyErrors = !onlyErrors;
      chip.lastChild.data = onlyErrors ? 'failed only' : 'failed or not';
      redraw();
    });
    byId('legend').append(chip);
  }

  function listen() {
    let dragged = null;
    for (const target of [canvas, depthCanvas]) {
      target.addEventListener('pointerdown', (event) => {
        dragged = {x: event.clientX, from: view.from, to: view.to, isMove: false};
        target.setPointerCapture(event.pointerId);
      });
      target.addEventListener('pointermove', (event) => {
        if (!dragged) return;
        const by = (dragged.x - event.clientX) / target.clientWidth * (dragged.to - dragged.from);
        dragged.isMove = dragged.isMove || Math.abs(dragged.x - event.clientX) > 3;
        if (dragged.isMove) look(dragged.from + by, dragged.to + by);
      });
      target.addEventListener('pointerup', (event) => {
        if (dragged && !dragged.isMove && target === canvas) select(hit(event));
        dragged = null;
      });
      target.addEventListener('dblclick', (event) => zoom(0.4, timeAt(event)));
      // Without the focus the wheel scrolls the page, as everywhere.
      target.addEventListener('wheel', (event) => {
        if (document.activeElement !== canvas && !event.ctrlKey) return;
        event.preventDefault();
        if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / target.clientWidth);
        else zoom(2 ** (event.deltaY / 300), timeAt(event));
      }, {passive: false});
    }
    canvas.addEventListener('pointermove', (event) => {
      const op = hit(event);
      canvas.title = op < 0 ? '' : `${kinds[ops.kind[op]].name} ${textOf(ops.target[op])} = ${resultOf(op)}, ${time(ops.total[op])}`;
    });
    const keys = {ArrowLeft: () => move(-0.15), ArrowRight: () => move(0.15), '+': () => zoom(0.6), '=': () => zoom(0.6), '-': () => zoom(1 / 0.6),
                  Home: everything, n: () => step(1), p: () => step(-1), e: () => step(1, hasFailed), Escape: () => select(-1)};
    canvas.addEventListener('keydown', (event) => {
      const action = keys[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    });
    byId('earlier').addEventListener('click', () => move(-0.3));
    byId('later').addEventListener('click', () => move(0.3));
    byId('closer').addEventListener('click', () => zoom(0.5));
    byId('wider').addEventListener('click', () => zoom(2));
    byId('everything').addEventListener('click', everything);
    window.addEventListener('resize', redraw);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      readColours();
      redraw();
    });
  }

  function start() {
    if (inTime.length < trace.sums.operations) {
      byId('sampled').textContent = `The timeline shows ${number(inTime.length)} of ${number(trace.sums.operations)} operations: the ` +
        `${number(trace.slowest)} slowest, and an even draw of those that failed and of the rest. Figures, distribution and depth ` +
        'are of all of them.';
      byId('sampled').hidden = false;
    }
    readColours();
    fillLegend();
    listen();
    select(-1);
    draw();
  }

  return {start, show};
})();

fillHeader();
fillBanner();
fillTiles();
fillKinds();
fillOperations();
drawHistogram('total');
byId('length-choice').addEventListener('click', chooseLength);
timeline.start();
