export * from './header.ts';
export { PAGE_SIZE, PageSlabs } from './slabs.ts';
export type { Mark } from './mark.ts';
export { PageStore, type Batch } from './page-store.ts';
export { WriteSet } from './write-set.ts';
