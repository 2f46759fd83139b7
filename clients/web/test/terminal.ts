/** The Expert Advisor of clients/mt5 in its terminal, whose market and time the tests set; see clients/mt5/terminal/README.md. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { running } from './support.ts';

export class Terminal {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  /** The lines that the Expert Advisor wrote into the log. */
  readonly log: string[] = [];
  /** The text that the Expert Advisor shows on the chart. */
  comment = '';

  /** Starts `program`, which trusts only `certificate`. */
  constructor(program: string, certificate: string) {
    this.#child = spawn(program, [], { env: { ...process.env, TERMINAL_CACERT: certificate } });
    running.add(this);
    this.#child.stderr.pipe(process.stderr);
    this.#answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** Runs commands one after the other. */
  async tell(...commands: string[]): Promise<void> {
    for (const command of commands) {
      this.#child.stdin.write(`${command}\n`);
      await this.#done(command);
    }
  }

  async #done(command: string): Promise<void> {
    for (;;) {
      const { value, done } = await this.#answers.next();
      if (done) throw new Error(`the terminal ended at: ${command}`);
      const [kind, text] = [value.split(' ', 1)[0], value.slice(value.indexOf(' ') + 1)];
      if (kind === 'ok') return;
      if (kind === 'error') throw new Error(`${command}: ${text}; log: ${this.log.join('\n')}`);
      if (kind === 'log') this.log.push(text);
      if (kind === 'comment') this.comment = text;
    }
  }

  kill(): void {
    running.delete(this);
    this.#child.kill('SIGKILL');
  }
}
