import type { Problem, Violation } from './api.ts';

/** Any failure of a request, with a sentence for people and a code for programs. */
export class CandlewickError extends Error {
  override readonly name = 'CandlewickError';
  /** The HTTP status; 0 if no answer came. */
  readonly status: number;
  /** A code of the service, or `unreachable`, `timed_out`, `unreadable` or `too_many` if it sent no problem. */
  readonly code: string;
  /** The request's id, to quote in a report of a fault of the service. */
  readonly requestId?: string;
  /** For a 422: what is wrong with each value. */
  readonly errors: Violation[];
  /** Seconds to wait before the next request, if the service says so. */
  readonly retryAfter?: number;

  constructor(
    detail: string,
    facts: {
      status: number;
      code: string;
      requestId?: string;
      errors?: Violation[];
      retryAfter?: number;
      cause?: unknown;
    },
  ) {
    super(detail, { cause: facts.cause });
    this.status = facts.status;
    this.code = facts.code;
    this.requestId = facts.requestId;
    this.errors = facts.errors ?? [];
    this.retryAfter = facts.retryAfter;
  }

  /** One sentence that says what is wrong and what to do. */
  get detail(): string {
    return this.message;
  }
}

/** The error of an answer that cannot be used, whose body is `answer`, parsed if it is JSON. */
export function errorOf(response: Response, answer: unknown): CandlewickError {
  const { status, headers } = response;
  const retryAfter = Number(headers.get('retry-after')) || undefined;
  const requestId = headers.get('x-request-id') ?? undefined;
  if (!response.ok && isProblem(answer)) {
    const { detail, code, request_id, errors } = answer;
    return new CandlewickError(detail, { status, code, requestId: request_id ?? requestId, errors, retryAfter });
  }
  return new CandlewickError(
    `The answer (status ${status}) is not candlewick's; check that the address leads to it and not to something else.`,
    { status, code: 'unreadable', requestId, retryAfter },
  );
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isProblem(answer: unknown): answer is Omit<Problem, 'request_id'> & { request_id?: string } {
  const problem = answer as Partial<Problem> | null | undefined;
  return typeof problem?.detail === 'string' && typeof problem.code === 'string';
}
