SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  // A request takes its route's own header. Bearer beside it would be a second credential of one kind, which is refused.
  requestInterceptor: (request) => {
    const names = Object.keys(request.headers).map((name) => name.toLowerCase());
    if (names.includes("x-api-key") || names.includes("x-internal-token")) {
      delete request.headers.Authorization;
    }
    return request;
  },
});
