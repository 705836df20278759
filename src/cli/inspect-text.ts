/** What `inspect` has found, for people. */

import type { EntryReport, MetadataReport, SegmentReport, SnapshotReport, State, Survey } from '../tools/index.ts';

type Configuration = Survey['configurations'][number]['configuration'];

const MAX_PAGES_SHOWN = 8;

/** `entries` are lines that were made by `entryText`. */
export function inspectText(report: Survey, state: State, entries: readonly string[] | undefined): string {
  return [
    [`${report.directory}: ${stateText(state)}`, ...(state.kind === 'damaged' ? damageLines(state) : [])],
    section('metadata', report.metadata.map(metadataText), 'none: no vote was ever stored'),
    section('configuration', configurationLines(report), 'none'),
    section('snapshots', report.snapshots.flatMap(snapshotLines), 'none'),
    section('segments', segmentLines(report.segments), 'none'),
    section('databases', databaseLines(report), 'none'),
    ...(entries === undefined ? [] : [section('entries', entries, 'none')]),
    ...(report.otherFiles.length === 0
      ? []
      : [section('other files', columns(report.otherFiles.map(({ file, what }) => [file, what])), '')]),
  ]
    .map(lines => lines.join('\n'))
    .join('\n\n');
}

function section(title: string, lines: readonly string[], otherwise: string): string[] {
  return [title, ...(lines.length === 0 ? [otherwise] : lines).map(line => `  ${line}`)];
}

/** Cells under each other, as wide as they need to be. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}

function stateText(state: State): string {
  switch (state.kind) {
    case 'empty':
      return 'not a data directory, or a new one: nothing of a log is in it';
    case 'opens': {
      const { term, firstIndex, lastIndex, snapshotIndex } = state;
      const snapshot = snapshotIndex === 0 ? '' : `a snapshot of entry ${snapshotIndex}, `;
      const entries = lastIndex < firstIndex ? 'no entries' : `entries ${firstIndex} to ${lastIndex}`;
      return `a node can start from it: ${snapshot}${entries}, term ${term}`;
    }
    case 'damaged':
      return 'DAMAGED, no node starts from it';
  }
}

function damageLines(state: Extract<State, { kind: 'damaged' }>): string[] {
  const { message, hint, snapshotIndex, salvageableIndex, highestIndex } = state;
  const from =
    snapshotIndex === 0 ? 'the log from its beginning' : `the snapshot of entry ${snapshotIndex} and the log`;
  const can =
    salvageableIndex === 0
      ? 'nothing: neither a snapshot nor the beginning of the log can be read'
      : `${from} up to entry ${salvageableIndex}; inspect --dump --salvage writes the databases as of there`;
  const after = salvageableIndex + 1;
  const lost = state.mayHaveMore
    ? `what entries from ${after} on did`
    : highestIndex > after
      ? `what entries ${after} to ${highestIndex} did`
      : highestIndex === after
        ? `what entry ${after} did`
        : 'nothing';
  const useless = state.uselessSnapshot;
  const otherwise = useless === undefined ? [] : [moveAwayText(useless)];
  return [
    '',
    `  what is wrong:    ${message}`,
    `  can still be had: ${can}`,
    `  lost otherwise:   ${lost}`,
    `  what to do:       ${hint}`,
    ...otherwise,
  ];
}

function moveAwayText(snapshot: string): string {
  return `                    or move ${snapshot} and ${snapshot}.meta away: what is older has all of it`;
}

function metadataText({ file, damage, version, term, vote }: MetadataReport): string {
  if (damage !== undefined) return `${file}  DAMAGED: ${damage}`;
  return `${file}  version ${version}, term ${term}, ${vote === 0n ? 'no vote' : `vote for ${vote}`}`;
}

/** The configuration that counts, and what it came from. */
function configurationLines({ configurations, snapshots }: Survey): string[] {
  const snapshot = snapshots.findLast(({ configuration }) => configuration !== undefined);
  const all: { index: number; configuration: Configuration }[] = [];
  if (snapshot?.configuration !== undefined) {
    all.push({ index: snapshot.configurationIndex ?? 0, configuration: snapshot.configuration });
  }
  all.push(...configurations.filter(({ index }) => index > (all[0]?.index ?? 0)));
  const newest = all.at(-1);
  if (newest === undefined) return [];
  const before = all.at(-2);
  const isFirst = before === undefined;
  return [
    `${isFirst ? '' : 'newest, '}of entry ${newest.index}`,
    ...memberLines(newest.configuration),
    ...(isFirst ? [] : [`before it, of entry ${before.index}`, ...memberLines(before.configuration)]),
  ];
}

function memberLines({ servers }: Configuration): string[] {
  return columns(servers.map(({ id, address, role }) => ['', String(id), address, role]));
}

function snapshotLines(snapshot: SnapshotReport): string[] {
  const { file, term, index, size, databases, damage } = snapshot;
  const head = `${file}  ${size} bytes, entry ${index} of term ${term}`;
  if (damage !== undefined) return [`${head}; DAMAGED: ${damage}`];
  return [
    `${head}; can be read`,
    ...columns(databases.map(({ name, pages }) => ['', JSON.stringify(name), `${pages} pages`])),
  ];
}

function segmentLines(segments: readonly SegmentReport[]): string[] {
  return columns(
    segments.map(segment => {
      const { file, size, used, firstIndex, lastIndex, batches, terms, damage, end } = segment;
      const isEmpty = lastIndex < firstIndex;
      const entries = isEmpty ? 'no entries' : `entries ${firstIndex} to ${lastIndex}`;
      const inBatches = isEmpty ? '' : `${batches} ${batches === 1 ? 'batch' : 'batches'}, term ${terms.join(' ')}`;
      const bytes = used === size ? `${size} bytes` : `${used} of ${size} bytes`;
      const isGood = damage === undefined && (end === 'complete' || end === 'zeroTail');
      const where = end === 'complete' ? '' : ` at offset ${segment.endOffset}`;
      const verdict =
        damage !== undefined
          ? `DAMAGED${where}: ${damage}`
          : end === 'unused'
            ? 'prepared, never used'
            : isGood
              ? 'checksums ok'
              : `ends${where}: ${segment.endWords}`;
      return [file, bytes, entries, inBatches, verdict];
    }),
  );
}

function databaseLines({ databases }: Survey): string[] {
  return columns(
    databases.map(({ name, transactions, pageImages, snapshotPages }) => [
      JSON.stringify(name),
      snapshotPages === undefined ? 'in no snapshot' : `${snapshotPages} pages in the snapshot`,
      `${transactions} entries with ${pageImages} page images`,
    ]),
  );
}

/** One entry as a line. */
export function entryText(entry: EntryReport): string {
  const { index, term, type, size, file, offset, checksum } = entry;
  const place = `${size} bytes at ${file}:${offset}, checksum ${checksum}`;
  return `${index}  term ${term}  ${type}  ${contentText(entry)}${place}`;
}

function contentText({ command, database, pageNumbers, configuration, damage }: EntryReport): string {
  if (damage !== undefined) return `MEANS NOTHING: ${damage}; `;
  if (configuration !== undefined) {
    return `${configuration.servers.map(({ id, address, role }) => `${id} ${address} ${role}`).join(', ')}; `;
  }
  if (command === undefined) return '';
  const name = database === undefined ? '' : ` of ${JSON.stringify(database)}`;
  if (pageNumbers === undefined) return `${command}${name}; `;
  const shown = pageNumbers.slice(0, MAX_PAGES_SHOWN).join(' ');
  const more = pageNumbers.length > MAX_PAGES_SHOWN ? ' ...' : '';
  return `${command}${name}, ${pageNumbers.length} ${pageNumbers.length === 1 ? 'page' : 'pages'} (${shown}${more}); `;
}
