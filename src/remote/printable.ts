/** What another machine says goes to a terminal, which must not obey it: control characters become U+FFFD. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "\u{fffd}");
}
