/**
 * Why the node is not ready, one sentence a cause; ready when none is left. Each cause is owned by
 * one part of the agent, which sets and clears it.
 */
export class Readiness {
  private readonly causes = new Map<string, string>();

  /** @returns whether the sentence is new, so that it is logged once and not at every look */
  set(cause: string, sentence: string): boolean {
    const news = this.causes.get(cause) !== sentence;
    this.causes.set(cause, sentence);
    return news;
  }

  /** @returns whether the cause was there */
  clear(cause: string): boolean {
    return this.causes.delete(cause);
  }

  reasons(): string[] {
    return [...this.causes.values()];
  }
}
