import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { looksLike, plainCell, tabSeparated, textOf, type ICell } from '../graph/cellContent.js';
import { columnWidths, NARROWEST, withWidth } from '../graph/columnWidths.js';
import { SHAPE_LINES, svgPath } from '../graph/shapeLines.js';
import { STATES } from '../graph/states.js';
import { ordered, runsOf } from '../graph/tableRows.js';

const NONE = [undefined, undefined, undefined];

describe('the widths of columns', () => {
  const wanted = [{ least: 80, share: 2 }, { least: 50 }, { least: 60, share: 1 }];

  it('share the room, whatever is left after those that have a width', () => {
    assert.deepEqual(columnWidths(wanted, NONE, 350), [200, 50, 100]);
    assert.deepEqual(columnWidths(wanted, NONE, 351), [201, 50, 100]);
  });

  it('are no less than the least, and then there is less to share', () => {
    assert.deepEqual(columnWidths(wanted, NONE, 200), [90, 50, 60]);
    assert.deepEqual(columnWidths(wanted, NONE, 100), [80, 50, 60]);
    assert.deepEqual(columnWidths([], [], 100), []);
  });

  it('stay as a person sets them; the last column takes what is left over', () => {
    assert.deepEqual(columnWidths(wanted, [120, undefined, undefined], 350), [120, 50, 180]);
    assert.deepEqual(columnWidths(wanted, [120, 60, 70], 350), [120, 60, 170]);
    assert.deepEqual(columnWidths(wanted, [400, undefined, undefined], 350), [400, 50, 60]);
  });

  it('before an edge that is moved stay, those after it share', () => {
    const widths = columnWidths(wanted, NONE, 350);
    assert.deepEqual(withWidth(widths, NONE, 0, 150), [150, undefined, undefined]);
    assert.deepEqual(withWidth(widths, NONE, 1, 70.4), [200, 70, undefined]);
    assert.deepEqual(withWidth(widths, NONE, 1, -5), [200, NARROWEST, undefined]);
  });
});

describe('a cell', () => {
  const link = (onClick: () => void): ICell => ({
    pieces: [
      { kind: 'shape', look: STATES[0]! },
      { kind: 'link', text: 'cell 3', onClick }
    ]
  });

  it('looks as another does when all its pieces do', () => {
    assert.ok(
      looksLike(
        link(() => 1),
        link(() => 2)
      )
    );
    assert.ok(!looksLike(plainCell('a'), plainCell('b')));
    assert.ok(!looksLike(plainCell('a'), plainCell('a', 'all')));
    assert.ok(!looksLike(plainCell('cell 3'), { pieces: link(() => 1).pieces.slice(1) }));
    const marks = (...colors: string[]): ICell => ({
      pieces: [{ kind: 'marks', colors, words: '2 calls' }]
    });
    assert.ok(looksLike(marks('--a', '--b'), marks('--a', '--b')));
    assert.ok(!looksLike(marks('--a', '--b'), marks('--a', '--c')));
  });

  it('is copied with all that it says, in its own column', () => {
    assert.equal(textOf(link(() => 1)), 'cell 3');
    const rows = [
      [plainCell('a\tb\r\nc'), plainCell(3)],
      [plainCell('x', 'variable x'), link(() => 1)]
    ];
    assert.equal(tabSeparated(rows), 'a b c\t3\nvariable x\tcell 3');
  });
});

describe('the rows of a table', () => {
  const columns = [
    { name: 'name', key: (row: number) => `task[${row}]` },
    { name: 'size', key: (row: number) => row % 2, find: null }
  ];

  it('stand in the order of a column, and of names where that says nothing', () => {
    const rows = [10, 9, 3, 2];
    const by = (name: string, down: boolean): readonly number[] =>
      ordered(rows, columns, '', { name, down });
    assert.deepEqual(by('', true), rows);
    assert.deepEqual(by('name', false), [2, 3, 9, 10]);
    assert.deepEqual(by('size', true), [3, 9, 2, 10]);
    assert.deepEqual(ordered(rows, columns, ' K[1 ', { name: '', down: true }), [10]);
    assert.deepEqual(ordered(rows, columns, '0', { name: '', down: true }), [10]);
  });

  it('that follow one another are one run', () => {
    const marked = new Set([0, 1, 4, 6, 7]);
    const runs = runsOf(8, row => marked.has(row));
    assert.deepEqual(runs, [
      [0, 1],
      [4, 4],
      [6, 7]
    ]);
    assert.deepEqual(
      runsOf(3, () => false),
      []
    );
  });
});

describe('the shapes of states', () => {
  it('are drawn within 14 pixels', () => {
    for (const lines of Object.values(SHAPE_LINES)) {
      for (const stroke of lines.strokes) {
        const numbers = stroke.slice(1) as number[];
        assert.ok(numbers.every(one => one > 0 && one < 14));
      }
    }
    assert.equal(svgPath(SHAPE_LINES.triangle), 'M3.2 2.2L11.8 7L3.2 11.8Z');
    assert.equal(svgPath(SHAPE_LINES.ring), 'M11.6 7a4.6 4.6 0 1 1 -9.2 0a4.6 4.6 0 1 1 9.2 0Z');
  });
});
