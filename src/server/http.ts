/** What a node answers over HTTP: liveness, readiness, metrics, a status page in JSON. */

export interface HttpRequest {
  readonly method: string;
  readonly url: string;
}

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface HttpSources {
  /** Undefined when the node may be sent traffic, else why not. */
  notReady(): string | undefined;
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
  status(): unknown;
  criticalNodes(): Promise<unknown>;
}

/**
 *   GET /health            200 while the process runs
 *   GET /health?ready=1    200 when it serves SQL, 503 while it starts, drains or has no quorum
 *   GET /metrics           Prometheus text format
 *   GET /status            node, cluster and store facts as JSON
 *   POST /_status/critical_nodes   nodes that the cluster cannot lose; ranges that are not as they should be
 */
export async function answerHttp(
  request: HttpRequest,
  sources: HttpSources,
): Promise<HttpResponse> {
  const [path = '/', query = ''] = request.url.split('?', 2);
  if (request.method === 'POST' && path === '/_status/critical_nodes') {
    return json(200, await sources.criticalNodes());
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return json(405, { error: 'only GET is served here' });
  }
  switch (path) {
    case '/health': {
      const wantsReady = query.split('&').includes('ready=1');
      const reason = wantsReady ? sources.notReady() : undefined;
      return reason === undefined
        ? json(200, { status: 'ok' })
        : json(503, { status: 'not ready', reason });
    }
    case '/metrics':
      return { status: 200, ...(await sources.metrics()) };
    case '/status':
      return json(200, sources.status());
    default:
      return json(404, { error: 'there is /health, /health?ready=1, /metrics and /status' });
  }
}

function json(status: number, body: unknown): HttpResponse {
  return { status, contentType: 'application/json', body: `${JSON.stringify(body)}\n` };
}
