'use strict';
// Fills the page: figures, tables and the distribution. Whatever comes from the trace is set as text, never as markup.

const trace = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'class') made.className = value;
    else if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

// Three digits are what anyone compares.
function rounded(value) {
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function time(ns) {
  if (ns === 0) return '0';
  if (ns < 0) return '-' + time(-ns);
  if (ns < 1e3) return rounded(ns) + ' ns';
  if (ns < 1e6) return rounded(ns / 1e3) + ' \u00b5s';
  if (ns < 1e9) return rounded(ns / 1e6) + ' ms';
  if (ns < 60e9) return rounded(ns / 1e9) + ' s';
  return ns < 3600e9 ? rounded(ns / 60e9) + ' min' : rounded(ns / 3600e9) + ' h';
}

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  for (; count >= 1024 && unit + 1 < units.length; ++unit) count /= 1024;
  return rounded(count) + ' ' + units[unit];
}

// For places where a long number has no room.
function compact(value) {
  if (value < 1e6) return rounded(value);
  return value < 1e9 ? rounded(value / 1e6) + ' M' : rounded(value / 1e9) + ' G';
}

const number = (value) => value.toLocaleString('en');
const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

// The kinds that took the most time have colours of their own; the others share the last one.
const COLOURS = 9;
const kinds = trace.kinds;
[...kinds.keys()].sort((a, b) => kinds[b].total - kinds[a].total).forEach((kind, rank) => {
  kinds[kind].colour = Math.min(rank, COLOURS - 1);
});
const colourOf = (kind) => `var(--c${kinds[kind].colour})`;
const dot = (kind) => element('i', {class: 'dot', style: `background: ${colourOf(kind)}`});

const ops = trace.operations;
const OUTCOMES = {success: 0, failed: 1, cancelled: 2, unended: 3};
const textOf = (index) => trace.texts[index];
const hasFailed = (op) => ops.outcome[op] !== OUTCOMES.success;
const resultOf = (op) => textOf(ops.result[op]);

function fillHeader() {
  const recording = trace.recordings[0];
  const name = recording && recording.program ? recording.program.split('/').pop() : '';
  const title = name ? `Trace of ${name}` : 'Trace';
  byId('title').textContent = title;
  document.title = title;
  const parts = [];
  if (recording) {
    if (trace.begin_ms > 0) parts.push(new Date(trace.begin_ms).toISOString().replace('T', ' ').slice(0, 19) + ' UTC');
    parts.push(`process ${recording.os_pid}`);
    if (recording.executor) parts.push(`executor ${recording.executor}`);
    if (recording.kernel) parts.push(`Linux ${recording.kernel}`);
    if (recording.processors) parts.push(plural(recording.processors, 'processor', 'processors'));
  }
  if (trace.recordings.length > 1) parts.push(plural(trace.recordings.length, 'file', 'files'));
  byId('subtitle').textContent = parts.join(' \u00b7 ');
  byId('footer').textContent = 'Written by trace_dump --html. This page loads nothing.';
}

function fillBanner() {
  const sums = trace.sums;
  const said = [];
  if (sums.lost_submissions + sums.lost_completions + sums.lost_others > 0) {
    said.push(`The recorder fell behind: it lost ${plural(sums.lost_submissions, 'submission', 'submissions')}, ` +
              `${plural(sums.lost_completions, 'completion', 'completions')} and ${plural(sums.lost_others, 'other record', 'other records')}.`);
  }
  for (const damage of trace.damages.slice(0, 5)) {
    said.push(`${damage.path}: ${bytes(damage.bytes)} at ${number(damage.offset)} cannot be read: ${damage.what}.`);
  }
  if (sums.damages > 5) said.push(`${number(sums.damages - 5)} more blocks cannot be read.`);
  if (sums.beginnings_lost > 0) {
    said.push(`Of ${plural(sums.beginnings_lost, 'operation', 'operations')} only the end is in the trace.`);
  }
  if (sums.dropped > 0) said.push(`${plural(sums.dropped, 'completion was', 'completions were')} dropped, unread, for newer ones.`);
  if (sums.refused > 0) said.push(`${plural(sums.refused, 'entry was', 'entries were')} refused.`);
  if (sums.unknown_records > 0) said.push(`${plural(sums.unknown_records, 'record is', 'records are')} of a newer version.`);
  if (said.length === 0) return;
  const isIncomplete = sums.lost_submissions + sums.lost_completions + sums.lost_others + sums.damages + sums.beginnings_lost > 0;
  byId('banner').append(element('strong', {}, isIncomplete ? 'This trace is not complete.' : 'Worth knowing'),
                        element('ul', {}, ...said.map((text) => element('li', {}, text))));
  byId('banner').hidden = false;
}

function fillTiles() {
  const failed = kinds.reduce((sum, kind) => sum + kind.failed, 0);
  const cancelled = kinds.reduce((sum, kind) => sum + kind.cancelled, 0);
  const moved = kinds.reduce((sum, kind) => sum + kind.bytes, 0);
  const peak = trace.depth.waiting.reduce((most, waiting, i) => Math.max(most, waiting + trace.depth.under_way[i]), 0);
  const tile = (value, label, isBad = false) =>
    byId('tiles').append(element('li', isBad ? {class: 'bad'} : {}, element('b', {}, value), element('span', {}, label)));
  tile(compact(trace.sums.operations), 'operations');
  if (trace.processes_total > 1) tile(number(trace.processes_total), 'processes');
  tile(compact(failed), 'failed', failed > 0);
  if (cancelled > 0) tile(compact(cancelled), 'cancelled');
  tile(time(trace.duration), 'long');
  if (trace.duration > 0) tile(compact(trace.sums.operations / (trace.duration / 1e9)), 'a second');
  tile(time(trace.latency.p50), 'median');
  tile(time(trace.latency.p99), '99th percentile');
  tile(compact(peak), 'most in flight');
  if (moved > 0) tile(bytes(moved), 'moved');
}

// A table that can be sorted by its headings. A column: [heading, cell of a row, key to sort by or null, class].
function fillTable(id, rows, columns) {
  const table = byId(id);
  const body = table.tBodies[0];
  const show = (sorted) => body.replaceChildren(...sorted.map((row) => element('tr', {}, ...columns.map(([, cell, , style]) => {
    const content = cell(row);
    return content instanceof HTMLTableCellElement ? content : element('td', style ? {class: style} : {}, content);
  }))));
  let order = null;
  table.tHead.replaceChildren(element('tr', {}, ...columns.map(([heading, , key, style], column) => {
    if (!key) return element('th', {scope: 'col', class: style || ''}, heading);
    const header = element('th', {scope: 'col', class: style || ''}, element('button', {type: 'button', onclick: () => {
      const isDown = !(order && order.column === column && order.isDown);
      order = {column, isDown};
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      header.setAttribute('aria-sort', isDown ? 'descending' : 'ascending');
      const compared = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
      show([...rows].sort((a, b) => (isDown ? compared(b, a) : compared(a, b))));
    }}, heading));
    return header;
  })));
  show(rows);
}

function fillKinds() {
  const column = (heading, key, show) => [heading, (kind) => show(key(kinds[kind])), (kind) => key(kinds[kind]), 'number'];
  const failures = (kind) => element('td', {class: kinds[kind].failed > 0 ? 'number bad' : 'number'}, number(kinds[kind].failed));
  fillTable('kinds', [...kinds.keys()].filter((kind) => kinds[kind].calls > 0).sort((a, b) => kinds[b].total - kinds[a].total), [
    ['Operation', (kind) => element('td', {}, dot(kind), kinds[kind].name), (kind) => kinds[kind].name],
    column('Calls', (kind) => kind.calls, number),
    ['Failed', failures, (kind) => kinds[kind].failed, 'number'],
    column('Bytes', (kind) => kind.bytes, (value) => (value > 0 ? bytes(value) : '')),
    column('p50', (kind) => kind.p50, time),
    column('p90', (kind) => kind.p90, time),
    column('p99', (kind) => kind.p99, time),
    column('Max', (kind) => kind.max, time),
    column('Waited', (kind) => (kind.total > 0 ? kind.waited / kind.total : 0), (value) => Math.round(value * 100) + ' %'),
    column('Total', (kind) => kind.total, time),
  ]);
}

function operationColumns(longest) {
  const where = (op) => element('button', {type: 'button', onclick: () => timeline.show(op), 'aria-label': 'Show it in the timeline'},
                                time(ops.queued[op]));
  const result = (op) => element('td', {class: hasFailed(op) ? 'bad' : ''}, resultOf(op));
  const split = (op) => {
    const waited = Math.max(0, ops.waited[op]);
    const share = (part) => `width: ${(longest > 0 ? 100 * part / longest : 0).toFixed(2)}%`;
    return element('span', {class: 'split', role: 'img', 'aria-label': `waited ${time(waited)}, then took ${time(ops.total[op] - waited)}`},
                   element('i', {class: 'waiting', style: share(waited)}),
                   element('i', {class: 'under-way', style: share(ops.total[op] - waited)}));
  };
  return [
    ['At', where, (op) => ops.queued[op]],
    ['pid', (op) => trace.processes[ops.process[op]], (op) => ops.process[op], 'number'],
    ['seq', (op) => ops.seq[op], (op) => Number(ops.seq[op]), 'number'],
    ['Operation', (op) => element('td', {}, dot(ops.kind[op]), kinds[ops.kind[op]].name), (op) => kinds[ops.kind[op]].name],
    ['On', (op) => element('td', {class: 'target', title: textOf(ops.target[op])}, textOf(ops.target[op])), (op) => textOf(ops.target[op])],
    ['Result', result, resultOf],
    ['Latency', (op) => time(ops.total[op]), (op) => ops.total[op], 'number'],
    ['Waiting, then under way', split, null],
  ];
}

function fillOperations() {
  const all = [...ops.kind.keys()];
  const slowest = all.slice(0, Math.min(50, trace.slowest));
  fillTable('slowest', slowest, operationColumns(slowest.reduce((most, op) => Math.max(most, ops.total[op]), 0)));
  const unended = all.filter((op) => ops.outcome[op] === OUTCOMES.unended).sort((a, b) => ops.total[b] - ops.total[a]).slice(0, 100);
  byId('unended-section').hidden = unended.length === 0;
  fillTable('unended', unended, operationColumns(unended.reduce((most, op) => Math.max(most, ops.total[op]), 0)));
}

const SVG = 'http://www.w3.org/2000/svg';
function drawn(name, attributes, text = '') {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// Where a step begins, in nanoseconds: four to a power of two.
const stepBegin = (step) => 2 ** Math.floor(step / 4) * (1 + step % 4 / 4);

function percentile(totals, fraction) {
  const all = totals.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (let step = 0; step < totals.length; ++step) {
    seen += totals[step];
    if (seen > 0 && seen >= fraction * all) return stepBegin(step + 1);
  }
  return 0;
}

function drawHistogram(length) {
  const totals = [];
  for (const kind of kinds) for (const [step, count] of kind.lengths[length]) totals[step] = (totals[step] || 0) + count;
  const used = Object.keys(totals).map(Number);
  const box = byId('histogram');
  if (used.length === 0) {
    box.replaceChildren(element('p', {class: 'faint'}, 'No operation has one.'));
    return;
  }
  const first = Math.max(0, Math.min(...used) - 2);
  const last = Math.max(...used) + 3;
  const most = used.reduce((so_far, step) => Math.max(so_far, totals[step]), 0);
  const [width, height, left, right, top, bottom] = [600, 380, 46, 8, 44, 26];
  const x = (step) => left + (width - left - right) * (step - first) / (last - first);
  const y = (count) => height - bottom - (height - top - bottom) * count / most;
  const svg = drawn('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': 'How many operations had which latency'});
  for (const part of [0, 0.5, 1]) {
    svg.append(drawn('line', {class: 'axis', x1: left, x2: width - right, y1: y(most * part), y2: y(most * part)}),
               drawn('text', {x: left - 6, y: y(most * part) + 4, 'text-anchor': 'end'}, compact(Math.round(most * part))));
  }
  const under = new Array(totals.length).fill(0);
  for (const kind of [...kinds.keys()].sort((a, b) => kinds[b].total - kinds[a].total)) {
    for (const [step, count] of kinds[kind].lengths[length]) {
      const bar = drawn('rect', {x: x(step) + 0.5, width: Math.max(1, x(step + 1) - x(step) - 1), y: y(under[step] + count),
                                 height: Math.max(0.5, y(under[step]) - y(under[step] + count)), rx: 1, style: `fill: ${colourOf(kind)}`});
      bar.append(drawn('title', {}, `${kinds[kind].name}: ${number(count)} from ${time(stepBegin(step))} to ${time(stepBegin(step + 1))}`));
      svg.append(bar);
      under[step] += count;
    }
  }
  const stepOf = (ns) => {
    const octave = Math.floor(Math.log2(Math.max(1, ns)));
    return 4 * octave + 4 * (Math.max(1, ns) / 2 ** octave - 1);
  };
  let lastTick = -Infinity;
  const parts = last - first < 34 ? [1, 2, 5] : [1];
  for (const tick of Array.from({length: 20}, (_, decade) => parts.map((part) => part * 10 ** decade)).flat()) {
    const at = x(stepOf(tick));
    if (at < left || at > width - right - 16 || at - lastTick < 50) continue;
    lastTick = at;
    svg.append(drawn('line', {class: 'axis', x1: at, x2: at, y1: height - bottom, y2: height - bottom + 4}),
               drawn('text', {x: at, y: height - 8, 'text-anchor': 'middle'}, time(tick)));
  }
  const counts = Array.from({length: totals.length}, (_, step) => totals[step] || 0);
  [0.5, 0.9, 0.99].forEach((fraction, row) => {
    const ns = length === 'total' ? trace.latency['p' + fraction * 100] : percentile(counts, fraction);
    const at = Math.min(Math.max(x(stepOf(ns)), left), width - right);
    const isRight = at > width - 80;
    svg.append(drawn('line', {class: 'percentile', x1: at, x2: at, y1: 4 + row * 12, y2: height - bottom}),
               drawn('text', {x: isRight ? at - 5 : at + 5, y: 13 + row * 12, 'text-anchor': isRight ? 'end' : 'start'},
                     `p${fraction * 100} ${time(ns)}`));
  });
  box.replaceChildren(svg);
}

function chooseLength(event) {
  const chosen = event.target.closest('button');
  if (!chosen) return;
  for (const button of byId('length-choice').children) button.setAttribute('aria-pressed', String(button === chosen));
  drawHistogram(chosen.dataset.length);
}
