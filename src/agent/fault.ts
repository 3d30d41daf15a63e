/**
 * What ends the program at the control side, sorted by whom it asks to act: the operator's options,
 * the host, or a supervisor that starts weft again. `message` names the fault and the cure.
 */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly kind: 'configuration' | 'environment' | 'dataplane';

  constructor(kind: Fault['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}
