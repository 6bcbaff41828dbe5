/**
 * Builds a component: `node sandsock/build.js src/handler.js hello.wasm`.
 *
 * The handler, in JavaScript or TypeScript, and what it imports are bundled to `build/` in the current
 * folder, as they are run: it is there that an error's line numbers count. Of the bundle and
 * `handler.wit` componentize-js makes the component.
 */

import { writeFile } from 'node:fs/promises';
import { parse, resolve } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

import { componentize, version } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';

const beside = (file) => fileURLToPath(new URL(file, import.meta.url));

/**
 * What componentize-js 0.23 makes of `wfile.write` never frees its copy of the bytes: a handler could
 * write no more than its memory holds. `splicer` is where the text of it comes from.
 */
async function freeWhatWasWritten() {
  const { splicer } = await import(
    new URL('../lib/spidermonkey-embedding-splicer.js', import.meta.resolve('@bytecodealliance/componentize-js'))
  );
  const spliced = splicer.spliceBindings;
  splicer.spliceBindings = (...parameters) => {
    const result = spliced(...parameters);
    const call = /ret = \$import_socketserver_handler_wfile_\w+\$write\(ptr0, len0\);/;
    if (!call.test(result.jsBindings)) {
      throw new Error(`componentize-js ${version} is not the version that this project is made for`);
    }
    result.jsBindings = result.jsBindings.replace(call, '$& $dealloc(ptr0, len0, 1);');
    return result;
  };
}

const [source, output] = argv.slice(2);
if (!output) throw new Error('usage: node build.js SOURCE OUTPUT.wasm');

const bundle = resolve('build', `${parse(source).name}.js`);
await build({
  entryPoints: [beside('component.js')],
  alias: { handler: resolve(source) },
  external: ['socketserver:*'],
  bundle: true,
  format: 'esm',
  target: 'es2023',
  logLevel: 'warning',
  outfile: bundle,
});

await freeWhatWasWritten();
const { component } = await componentize({
  sourcePath: bundle,
  witPath: beside('handler.wit'),
  worldName: 'full-handler',
  // No `fetch`. The log needs `stdio`, timers and `performance.now` `clocks`, `Math.random` and `crypto` `random`.
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(output, component);
