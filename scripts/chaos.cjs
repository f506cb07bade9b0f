'use strict';
// `npm run chaos [-- options]`: test/chaos/README.md
require('./typed.cjs').runTyped('tsconfig.chaos.json', 'dist-chaos/test/chaos/main.js');
