/**
 * Node compiles WebAssembly on other threads, and a simulation cannot know when they are done. While this is in
 * force `WebAssembly.instantiate` does all its work before it returns, so that code which starts the SQL engine
 * waits for promise callbacks only.
 */

interface WebAssemblyNamespace {
  instantiate: (source: Uint8Array, imports: object) => Promise<unknown>;
  readonly Module: new (source: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => object;
}

export function synchronousWasm(): Disposable {
  const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WebAssemblyNamespace };
  const original = wasm.instantiate;
  /** By size: a process loads one module, again and again. */
  const modules = new Map<number, object>();
  wasm.instantiate = async (source, imports) => {
    const module = modules.get(source.byteLength) ?? new wasm.Module(source);
    modules.set(source.byteLength, module);
    return { module, instance: new wasm.Instance(module, imports) };
  };
  return {
    [Symbol.dispose]() {
      wasm.instantiate = original;
    },
  };
}
