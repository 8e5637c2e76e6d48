/** What tables are drawn with: colours and letters of the page, read when the theme changes. */

/** The height of a row, and of the line with the names of the columns. */
export const ROW = 26;
export const HEAD = 27;

/** Colours and letters. */
export interface ITableLook {
  background: string;
  /** Of the row under the pointer and of the one that is chosen. */
  raised: string;
  /** Laid over the rows that would be copied. */
  marked: string;
  text: string;
  dim: string;
  link: string;
  line: string;
  font: string;
  /** The size of its letters, of that which JupyterLab has without settings: widths in pixels are meant for that. */
  scale: number;
  /** How far below the top of a row its letters stand. */
  baseline: number;
  /** The colour that a CSS variable names. */
  color: (variable: string) => string;
}

/** JupyterLab's size of letters, in pixels. */
const USUAL_LETTERS = 13;

const measures = document.createElement('canvas').getContext('2d')!;

/** The width of a text in letters of this font. */
export function textWidth(font: string, text: string): number {
  measures.font = font;
  return measures.measureText(text).width;
}

/** As it applies to an element now. */
export function readTableLook(element: HTMLElement): ITableLook {
  const style = getComputedStyle(element);
  const value = (name: string, otherwise: string): string =>
    style.getPropertyValue(name).trim() || otherwise;
  const accent = value('--jp-brand-color1', '#1976d2');
  const font = `${style.fontSize} ${style.fontFamily}`;
  measures.font = font;
  const { fontBoundingBoxAscent, fontBoundingBoxDescent } = measures.measureText('x');
  const colors = new Map<string, string>();
  const common = {
    font,
    scale: parseFloat(style.fontSize) / USUAL_LETTERS,
    baseline: Math.round((ROW + fontBoundingBoxAscent - fontBoundingBoxDescent) / 2),
    color: (variable: string) => {
      const known = colors.get(variable) ?? value(variable, '#888');
      colors.set(variable, known);
      return known;
    }
  };
  // Where the system chooses the colours, a canvas has to ask for them.
  return matchMedia('(forced-colors: active)').matches
    ? {
        ...common,
        background: 'Canvas',
        raised: 'Canvas',
        marked: 'color-mix(in srgb, Highlight 30%, transparent)',
        text: 'CanvasText',
        dim: 'CanvasText',
        link: 'LinkText',
        line: 'CanvasText'
      }
    : {
        ...common,
        background: value('--jp-layout-color1', '#fff'),
        raised: value('--jp-layout-color2', '#eee'),
        marked: `color-mix(in srgb, ${accent} 14%, transparent)`,
        text: value('--jp-ui-font-color1', '#212121'),
        dim: value('--jp-ui-font-color2', '#666'),
        link: value('--jp-content-link-color', accent),
        line: value('--jp-border-color1', '#bdbdbd')
      };
}
