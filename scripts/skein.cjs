'use strict';
// `npm run demo|sim|...`: prepares the clone, then runs the program with the command's name.
const { join } = require('path');
const { become, prepare, root } = require('./prepare.cjs');

prepare();
become([join(root, 'bin', 'skein.cjs'), ...process.argv.slice(2)]);
