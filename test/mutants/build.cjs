'use strict';
const { spawnSync } = require('child_process');
const { cpSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } = require('fs');
const { tmpdir } = require('os');
const { join } = require('path');
const { root } = require('../../scripts/prepare.cjs');
const { patched } = require('./mutants.cjs');

/** A new folder with a build of the sources behind the patches of a mutant, which the caller removes. */
exports.buildMutant = function buildMutant({ name, patches, script }) {
  const folder = mkdtempSync(join(tmpdir(), `skein-mutant-${name}-`));
  cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true });
  for (const file of ['package.json', 'tsconfig.json', 'tsconfig.build.json']) {
    cpSync(join(root, file), join(folder, file));
  }
  if (script !== undefined) {
    cpSync(join(root, 'test'), join(folder, 'test'), { recursive: true });
    cpSync(join(root, 'vitest.config.ts'), join(folder, 'vitest.config.ts'));
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const patch of patches) {
    const path = join(folder, patch.file);
    writeFileSync(path, patched(readFileSync(path, 'utf8'), patch));
  }
  // A patch may leave an import or a parameter unused: that is no error here.
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const unused = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];
  const args = ['-p', 'tsconfig.build.json', ...unused];
  const { status, stdout } = spawnSync(tsc, args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`a mutant does not build:\n${stdout}`);
  return folder;
};
