/** What comes before the blocks: how an endpoint is reached and opened, told in order by whoever is at it. */
export type Stage =
  /** ssh, or sudo, is at it, and may ask a person something on the terminal. */
  | { readonly kind: "login"; readonly host: string }
  /** So many of the program's bytes were handed over. */
  | { readonly kind: "copying"; readonly host: string; readonly done: number; readonly total: number }
  | { readonly kind: "starting"; readonly host: string }
  | { readonly kind: "opening"; readonly label: string }
  /** The connection is lost, and another one is tried: why, and how long ago that was noticed. Told again with each attempt. */
  | { readonly kind: "lost"; readonly host: string; readonly why: string; readonly sinceMs: number }
  /** It goes on where it stopped. */
  | { readonly kind: "resumed"; readonly host: string }
  /** Worth knowing by the way. */
  | { readonly kind: "notice"; readonly text: string }
  /** The same for -v. */
  | { readonly kind: "detail"; readonly text: string };

export type TellStage = (stage: Stage) => void;
