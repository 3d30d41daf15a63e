/**
 * What ends the program at the control side, sorted by whom it asks to act: the operator's options,
 * the host, or a supervisor that starts weft again. `hang` is an end that a thread will not make.
 * `message` names the fault and the cure.
 */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly kind: 'configuration' | 'environment' | 'dataplane' | 'hang';

  constructor(kind: Fault['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** A dead or hung packet thread is not healed by another try: only a new process has new ones. */
export function endsForwarding(error: Error): boolean {
  return error instanceof Fault && (error.kind === 'hang' || error.kind === 'dataplane');
}
