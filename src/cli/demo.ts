export async function demo(_args: string[]): Promise<number> {
  await Promise.resolve();
  return 1;
}
