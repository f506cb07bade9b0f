'use strict';
/**
 * `npm run mutants [-- --only M1,M5 --seeds 400 --first 1 --seconds 20 --workers 2]`
 *
 * Builds Skein once as it is and once per mutant (`mutants.cjs`), each in a temporary folder, and runs the
 * simulation over the seeds until one has a finding. The build as it is must have none: neither in what its
 * seeds draw (left out with `--only`), nor in the run that found a mutant, without which that proves nothing.
 * Ends with code 1 when it has one, or when a mutant is not found.
 */
const { execFile, spawn } = require('child_process');
const { rmSync } = require('fs');
const { join } = require('path');
const { parseArgs } = require('util');
const { prepare } = require('../../scripts/prepare.cjs');
const { buildMutant } = require('./build.cjs');
const { mutants } = require('./mutants.cjs');

/** Real time after which a run does not end: a spinning node. */
const stuckMs = 180_000;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '400' },
    first: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '20' },
    workers: { type: 'string', default: '2' },
  },
});
const first = Number(values.first);
const seeds = Number(values.seeds);
const unmutated = { name: '-', wrong: 'nothing', patches: [] };
/** All builds, removed in the end. */
const folders = [];

function build(mutant) {
  const folder = buildMutant(mutant);
  folders.push(folder);
  return folder;
}

/** Resolves with the seed, the simulated seconds it took, and the finding (undefined: none). */
function search(folder, { faults = [], workload = '' }, from, count) {
  return new Promise((resolve) => {
    const what = [from, count, values.seconds, faults.join(), workload].map(String);
    const args = [join(__dirname, 'worker.cjs'), join(folder, 'dist'), ...what];
    const child = spawn(process.execPath, args);
    let simulated = 0;
    let seed = from;
    let finding;
    let rest = '';
    let said = '';
    const stuck = setTimeout(() => {
      finding = 'the run does not end';
      child.kill('SIGKILL');
    }, stuckMs);
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    child.stdout.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        stuck.refresh();
        const result = JSON.parse(line);
        simulated += result.simulatedSeconds;
        finding = result.finding;
        if (finding === undefined) seed = result.seed + 1;
      }
    });
    child.on('close', (code) => {
      clearTimeout(stuck);
      if (code !== 0 && finding === undefined) finding = `the process ended: ${said.trim()}`;
      resolve({ seed, simulated, finding });
    });
  });
}

/** Runs the script on the sources in `folder`; resolves with what fails. */
function play(folder, { file, name }) {
  return new Promise((resolve) => {
    const vitest = join(__dirname, '..', '..', 'node_modules', 'vitest', 'vitest.mjs');
    const args = [vitest, 'run', file, '-t', name, '--root', folder];
    const env = { ...process.env, NO_COLOR: '1' };
    execFile(process.execPath, args, { cwd: folder, env }, (error, stdout, stderr) => {
      const failure = /AssertionError: (.*)/.exec(stdout + stderr)?.[1];
      resolve(error === null ? undefined : (failure ?? `the test did not run: ${stderr}`));
    });
  });
}

async function examineByScript(mutant) {
  const { name, wrong, script, sign } = mutant;
  const finding = await play(build(mutant), script);
  const without = await play(build({ ...mutant, patches: [] }), script);
  const isFound = finding !== undefined && (sign?.test(finding) ?? true);
  const outcome =
    without !== undefined
      ? 'fails without it'
      : isFound
        ? `by ${script.name}`
        : `not by ${script.name}`;
  row(name, wrong, outcome, (without ?? finding ?? '').slice(0, 160));
  return isFound && without === undefined;
}

function row(...cells) {
  const [name, wrong, outcome, finding] = cells;
  process.stdout.write(`${name.padEnd(5)} ${wrong.padEnd(80)} ${outcome.padEnd(32)} ${finding}\n`);
}

/** One row of the table; true when it says what it should. */
async function examine(mutant, asItIs) {
  if (mutant.script !== undefined) return examineByScript(mutant);
  const isMutated = mutant !== unmutated;
  const folder = isMutated ? build(mutant) : asItIs;
  const { seed, simulated, finding } = await search(folder, mutant, first, seeds);
  if (isMutated) rmSync(folder, { recursive: true, force: true });
  const isFound = finding !== undefined;
  const without = isMutated && isFound ? await search(asItIs, mutant, seed, 1) : undefined;
  const isFoundWithout = without?.finding !== undefined;
  const isOther = isFound && mutant.sign?.test(finding) === false;
  const outcome = !isFound
    ? `not within ${seeds} seeds`
    : isFoundWithout
      ? `seed ${seed}, which fails without it`
      : isOther
        ? `seed ${seed}, by another sign`
        : `seed ${seed}, after ${Math.round(simulated)} s`;
  const what = (without?.finding ?? finding ?? '').split('\n')[0].slice(0, 160);
  row(mutant.name, mutant.wrong, outcome, what);
  return isFound === isMutated && !isFoundWithout && !isOther;
}

async function main() {
  prepare();
  const only = values.only?.split(',');
  const chosen = mutants.filter(({ name }) => only?.includes(name) ?? true);
  const queue = only === undefined ? [unmutated, ...chosen] : [...chosen];
  try {
    const asItIs = build(unmutated);
    row('', 'what is wrong', 'found', 'finding');
    const work = async () => {
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        if (!(await examine(mutant, asItIs))) process.exitCode = 1;
      }
    };
    await Promise.all(Array.from({ length: Number(values.workers) }, work));
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
}

void main();
