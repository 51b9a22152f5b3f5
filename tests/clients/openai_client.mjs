// The official client in JavaScript: prints what it got as JSON. Argument: the address.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0, defaultHeaders: { "Cache-Control": "no-cache" },
});
const messages = [{ role: "user", content: "How long are seals covered?" }];
const tools = [{ type: "function", function: { name: "order", parameters: { type: "object", properties: {} } } }];

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const whole = await client.chat.completions.create({ model: "millpond", messages });

const streamed = [];
let usage = null;
const stream = await client.chat.completions.create({
  model: "millpond", messages, stream: true, stream_options: { include_usage: true },
});
for await (const piece of stream) {
  if (piece.choices[0]?.delta?.content) streamed.push(piece.choices[0].delta.content);
  if (piece.usage) usage = piece.usage;
}

const structured = await client.chat.completions.parse({
  model: "millpond", messages,
  response_format: { type: "json_schema", json_schema: { name: "cover", schema: { type: "object" } } },
});

const runner = client.chat.completions.runTools({
  model: "millpond", messages,
  tools: [{ type: "function", function: {
    name: "order", description: "Order a part", parameters: { type: "object", properties: {} },
    parse: JSON.parse, function: ({ part, count }) => `${count} ${part} ordered`,
  } }],
});
const afterTools = await runner.finalContent();

const error = await client.chat.completions.create({ model: "gpt-99", messages }).catch((one) => one);
const refused = await client.chat.completions.create({ model: "millpond", messages, n: 2 }).catch((one) => one);

console.log(JSON.stringify({
  models, text: whole.choices[0].message.content, finish: whole.choices[0].finish_reason,
  citations: whole.choices[0].message.citations.length, streamed, usage,
  structured: JSON.parse(structured.choices[0].message.content), afterTools,
  error: { status: error.status, name: error.constructor.name, message: error.message },
  refused: { status: refused.status, param: refused.param, type: refused.type },
}));
