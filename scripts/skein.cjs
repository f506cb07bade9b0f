'use strict';
// `npm run demo|sim|...`: prepares the clone, then runs the program with the command's name.
const { spawn } = require('child_process');
const { join } = require('path');
const { prepare, root } = require('./prepare.cjs');

prepare();
const child = spawn(process.execPath, [join(root, 'bin', 'skein.cjs'), ...process.argv.slice(2)], {
  stdio: 'inherit',
});
// Ctrl-C reaches the child through the terminal; a signal sent to this process alone is passed on.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (!process.stdin.isTTY) child.kill(signal);
  });
}
child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
