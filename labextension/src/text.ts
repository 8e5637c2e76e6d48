/** The texts of the panel in the language of the page: English, or what a language pack of JupyterLab brings. */

/** What is needed of a `TranslationBundle`. */
export interface ITexts {
  __(text: string, ...values: (string | number)[]): string;
}

const english: ITexts = {
  __: (text, ...values) =>
    text.replace(/%(\d)/g, (_, n: string) => String(values[Number(n) - 1] ?? ''))
};

let texts: ITexts = english;

/** Take the texts from here from now on. */
export function useTexts(bundle: ITexts): void {
  texts = bundle;
}

/** The line of a cell that runs on the cluster: a value in texts, where two percent signs would mean one. */
export const REMOTE = '%%remote';

/** A text in the language of the page; `%1`, `%2` stand for the values. */
export function t(text: string, ...values: (string | number)[]): string {
  return texts.__(text, ...values);
}
