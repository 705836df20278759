export * from './header.ts';
export { PAGE_SIZE, PageSlabs } from './slabs.ts';
export { PageStore, type Batch, type Mark } from './page-store.ts';
export { WriteSet } from './write-set.ts';
