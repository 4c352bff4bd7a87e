/** Lists that the server gives page by page. */

/** A page of a list. */
export interface Page<Item> {
  items: Item[];
  /** Pass it as `cursor` to go on after this page; undefined on the last one. */
  next: string | undefined;
  /** The number of all matches, if you asked for it with `count`. */
  total: number | undefined;
}

/** A list: iterate over its items, or take it page by page. Nothing is asked before you do. */
export interface Pages<Item> extends AsyncIterable<Item> {
  /** All pages, from the `cursor` of the filter on. */
  pages(): AsyncIterable<Page<Item>>;
  /** One page, such as for a table that shows `next` as a button. */
  page(): Promise<Page<Item>>;
}

/** A list whose pages `read` gets. */
export function pagesOf<Item>(
  cursor: string | undefined,
  read: (cursor: string | undefined) => Promise<Page<Item>>,
): Pages<Item> {
  async function* pages(): AsyncGenerator<Page<Item>, void, undefined> {
    let next = cursor;
    do {
      const page = await read(next);
      yield page;
      next = page.next;
    } while (next !== undefined);
  }
  return {
    pages,
    page: () => read(cursor),
    async *[Symbol.asyncIterator]() {
      for await (const page of pages()) yield* page.items;
    },
  };
}
