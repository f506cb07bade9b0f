'use strict';
// What every npm script needs first on a fresh clone: a Node that is new enough, the packages, a build.
const { existsSync, readdirSync, statSync } = require('fs');
const { join } = require('path');
const { spawn, spawnSync } = require('child_process');

const root = join(__dirname, '..');

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) fail(`${command} ${args.join(' ')} failed.`);
}

function newest(dir) {
  let latest = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return latest;
}

exports.root = root;

exports.prepare = function prepare() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    fail(`Skein needs Node 20 or newer; this is Node ${process.versions.node}.`);
  }
  const lock = join(root, 'package-lock.json');
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
    console.error('installing packages ...');
    // Not `npm ci`: it insists on lock entries for the optional binaries of every platform.
    run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']);
  }
  const built = join(root, 'dist', '.tsbuildinfo');
  if (!existsSync(built) || statSync(built).mtimeMs < newest(join(root, 'src'))) {
    console.error('building ...');
    run(process.execPath, [join(root, 'node_modules', '.bin', 'tsc'), '-p', 'tsconfig.build.json']);
  }
};

/** Runs Node with these arguments in the place of this process. */
exports.become = function become(args) {
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  // Ctrl-C reaches the child through the terminal; a signal sent to this process alone is passed on.
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      if (!process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
};
