'use strict';
/**
 * `npm run mutants [-- --only M1,M5 --seeds 400 --first 1 --seconds 20 --workers 2]`
 *
 * Builds Skein once as it is and once per mutant (`mutants.cjs`), each in a temporary folder, and runs the
 * simulation over the seeds until one has a finding. The build as it is goes first and must have none. Ends
 * with code 1 when it has, or when a mutant is not found.
 */
const { spawn, spawnSync } = require('child_process');
const { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } = require('fs');
const { tmpdir } = require('os');
const { join } = require('path');
const { parseArgs } = require('util');
const { prepare, root } = require('../../scripts/prepare.cjs');
const { mutants, patched } = require('./mutants.cjs');

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

/** A folder with a build of the sources behind `patches`. */
function build(folder, patches) {
  cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true });
  for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json']) {
    cpSync(join(root, name), join(folder, name));
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const patch of patches) {
    const path = join(folder, patch.file);
    writeFileSync(path, patched(readFileSync(path, 'utf8'), patch));
  }
  // A patch may leave an import unused: that is no error here.
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const args = ['-p', 'tsconfig.build.json', '--noUnusedLocals', 'false'];
  const { status, stdout } = spawnSync(tsc, args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`a mutant does not build:\n${stdout}`);
}

/** Resolves with the seed, the simulated seconds it took, and the finding (undefined: none). */
function search(folder, faults) {
  return new Promise((resolve) => {
    const args = [join(folder, 'dist'), first, seeds, values.seconds, faults.join()].map(String);
    const child = spawn(process.execPath, [join(__dirname, 'worker.cjs'), ...args]);
    let simulated = 0;
    let seed = first;
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

function row(...cells) {
  const [name, wrong, outcome, finding] = cells;
  process.stdout.write(`${name.padEnd(5)} ${wrong.padEnd(80)} ${outcome.padEnd(32)} ${finding}\n`);
}

async function main() {
  prepare();
  const only = values.only?.split(',');
  const chosen = mutants.filter(({ name }) => only?.includes(name) ?? true);
  const unmutated = { name: '-', wrong: 'nothing', patches: [] };
  const queue = only === undefined ? [unmutated, ...chosen] : [...chosen];
  let failed = false;
  row('', 'what is wrong', 'found', 'finding');
  const work = async () => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const folder = mkdtempSync(join(tmpdir(), `skein-mutant-${mutant.name}-`));
      try {
        build(folder, mutant.patches);
        const { seed, simulated, finding } = await search(folder, mutant.faults ?? []);
        const wanted = mutant !== unmutated;
        if ((finding !== undefined) !== wanted) failed = true;
        const outcome =
          finding === undefined
            ? `not within ${seeds} seeds`
            : `seed ${seed}, after ${Math.round(simulated)} s`;
        const what = (finding ?? '').split('\n')[0].slice(0, 160);
        row(mutant.name, mutant.wrong, outcome, what);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  };
  await Promise.all(Array.from({ length: Number(values.workers) }, work));
  if (failed) process.exitCode = 1;
}

void main();
