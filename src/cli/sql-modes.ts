/**
 * Results as text, in one of several modes. A formatter gets the columns, then rows as they arrive, and gives what can
 * be printed already: nothing waits for the end of a result. Columns that stand under each other take their widths
 * from the first rows; a later value that is wider moves only its own line.
 */

import type { SqlValue } from './sql-session.ts';
import { displayWidth, onOneLine, padEnd, padStart } from './sql-width.ts';
import { valueJson, valueText } from './sql-values.ts';

export const MODES = ['box', 'table', 'csv', 'json', 'markdown', 'line', 'list'] as const;
export type Mode = (typeof MODES)[number];

export interface FormatSettings {
  readonly mode: Mode;
  /** Undefined: as the mode has it. */
  readonly headers: boolean | undefined;
  /** Undefined: as the mode has it. */
  readonly nullText: string | undefined;
}

export interface Formatter {
  rows(rows: readonly (readonly SqlValue[])[]): string;
  /** Prints what is held back although more rows may come. */
  flush(): string;
  /** After the last row. */
  end(): string;
}

/** Rows that decide about the widths of columns. */
const WIDTH_ROWS = 100;

export function formatter(columns: readonly string[], settings: FormatSettings): Formatter {
  switch (settings.mode) {
    case 'box':
      return new Grid(columns, settings, BOX);
    case 'table':
      return new Grid(columns, settings, ASCII);
    case 'markdown':
      return new Grid(columns, settings, MARKDOWN);
    case 'csv':
      return csv(columns, settings);
    case 'json':
      return new Json(columns);
    case 'line':
      return line(columns, settings);
    case 'list':
      return list(columns, settings);
  }
}

type Rule = readonly [left: string, line: string, cross: string, right: string];

interface Style {
  readonly top: Rule | undefined;
  readonly middle: Rule;
  readonly bottom: Rule | undefined;
  readonly side: string;
  /** A value as the lines of its cell. */
  readonly cell: (text: string) => readonly string[];
}

const splitLines = (text: string): string[] => text.split(/\r?\n/).map(onOneLine);

const BOX: Style = {
  top: ['┌', '─', '┬', '┐'],
  middle: ['├', '─', '┼', '┤'],
  bottom: ['└', '─', '┴', '┘'],
  side: '│',
  cell: splitLines,
};
const ASCII: Style = {
  top: ['+', '-', '+', '+'],
  middle: ['+', '-', '+', '+'],
  bottom: ['+', '-', '+', '+'],
  side: '|',
  cell: splitLines,
};
const MARKDOWN: Style = {
  top: undefined,
  middle: ['|', '-', '|', '|'],
  bottom: undefined,
  side: '|',
  cell: text => [splitLines(text.replaceAll('\\', '\\\\').replaceAll('|', '\\|')).join('<br>')],
};

interface Cell {
  readonly lines: readonly string[];
  readonly isNumber: boolean;
}

class Grid implements Formatter {
  readonly #header: readonly Cell[];
  readonly #style: Style;
  readonly #nullText: string;
  #waiting: Cell[][] = [];
  #widths: number[] | undefined = undefined;

  constructor(columns: readonly string[], { nullText = 'NULL' }: FormatSettings, style: Style) {
    this.#style = style;
    this.#nullText = nullText;
    this.#header = columns.map(name => ({ lines: style.cell(name), isNumber: false }));
  }

  rows(rows: readonly (readonly SqlValue[])[]): string {
    const cells = rows.map(row => row.map(value => this.#cell(value)));
    if (this.#widths !== undefined) return this.#print(cells);
    this.#waiting.push(...cells);
    return this.#waiting.length < WIDTH_ROWS ? '' : this.flush();
  }

  flush(): string {
    if (this.#widths !== undefined || this.#waiting.length === 0) return '';
    const deciding = [this.#header, ...this.#waiting.slice(0, WIDTH_ROWS)];
    this.#widths = this.#header.map((_, column) =>
      deciding.reduce(
        (widest, row) => row[column]!.lines.reduce((w, line) => Math.max(w, displayWidth(line)), widest),
        1,
      ),
    );
    const waiting = this.#waiting;
    this.#waiting = [];
    return (
      this.#rule(this.#style.top) + this.#print([this.#header]) + this.#rule(this.#style.middle) + this.#print(waiting)
    );
  }

  end(): string {
    const head = this.flush();
    return this.#widths === undefined ? '' : head + this.#rule(this.#style.bottom);
  }

  #cell(value: SqlValue): Cell {
    const isNumber = typeof value === 'bigint' || typeof value === 'number';
    return { lines: this.#style.cell(valueText(value, this.#nullText)), isNumber };
  }

  #rule(rule: Rule | undefined): string {
    if (rule === undefined) return '';
    const [left, line, cross, right] = rule;
    return `${left}${this.#widths!.map(width => line.repeat(width + 2)).join(cross)}${right}\n`;
  }

  #print(rows: readonly (readonly Cell[])[]): string {
    const { side } = this.#style;
    let text = '';
    for (const row of rows) {
      const height = row.reduce((most, cell) => Math.max(most, cell.lines.length), 1);
      for (let line = 0; line < height; line++) {
        const cells = row.map(({ lines, isNumber }, column) =>
          (isNumber ? padStart : padEnd)(lines[line] ?? '', this.#widths![column]!),
        );
        text += `${side} ${cells.join(` ${side} `)} ${side}\n`;
      }
    }
    return text;
  }
}

/** A formatter that holds nothing back. */
function direct(header: string, row: (values: readonly SqlValue[]) => string): Formatter {
  let isFirst = true;
  return {
    rows(rows) {
      const head = isFirst ? header : '';
      isFirst = false;
      return head + rows.map(row).join('');
    },
    flush: () => '',
    end: () => (isFirst ? header : ''),
  };
}

function csvField(text: string): string {
  return /[",\r\n]|^$|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** RFC 4180, with the line ends of text files here. NULL is an empty field, an empty text "". */
function csv(columns: readonly string[], { headers = true, nullText = '' }: FormatSettings): Formatter {
  const record = (fields: readonly string[]): string => `${fields.join(',')}\n`;
  return direct(headers ? record(columns.map(csvField)) : '', row =>
    record(row.map(value => (value === null ? nullText : csvField(valueText(value, ''))))),
  );
}

function list(columns: readonly string[], { headers = false, nullText = '' }: FormatSettings): Formatter {
  const record = (fields: readonly string[]): string => `${fields.join('|')}\n`;
  return direct(headers ? record(columns) : '', row => record(row.map(value => valueText(value, nullText))));
}

function line(columns: readonly string[], { nullText = 'NULL' }: FormatSettings): Formatter {
  const names = columns.map(onOneLine);
  const width = names.reduce((widest, name) => Math.max(widest, displayWidth(name)), 0);
  let isFirst = true;
  return direct('', row => {
    const gap = isFirst ? '' : '\n';
    isFirst = false;
    const lines = row.map((value, column) => {
      const [first, ...rest] = splitLines(valueText(value, nullText));
      const more = rest.map(text => `\n${' '.repeat(width + 3)}${text}`).join('');
      return `${padStart(names[column]!, width)} = ${first}${more}\n`;
    });
    return gap + lines.join('');
  });
}

class Json implements Formatter {
  readonly #names: readonly string[];
  #count = 0;

  constructor(columns: readonly string[]) {
    this.#names = columns.map(name => JSON.stringify(name));
  }

  rows(rows: readonly (readonly SqlValue[])[]): string {
    return rows
      .map(row => {
        const fields = row.map((value, column) => `${this.#names[column]}:${valueJson(value)}`);
        return `${this.#count++ === 0 ? '[' : ',\n'}{${fields.join(',')}}`;
      })
      .join('');
  }

  flush(): string {
    return '';
  }

  end(): string {
    return this.#count === 0 ? '[]\n' : ']\n';
  }
}
