// Drives a server with JavaScript's clients: `node clients.js URL`. Prints a line for each check, `ok NAME` or
// `not ok NAME: why`; tests/node/test_clients.py reads them. The exit status is 1 if any failed.
import assert from 'node:assert/strict';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, isStepCount, Output, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { z } from 'zod';

const url = process.argv[2];
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
const model = (await client.models.list()).data[0].id;
const messages = [{ role: 'user', content: 'Name three colours.' }];
const common = { model, messages, max_tokens: 16, temperature: 0 };

const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a town',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Rome', 'Oslo'] } },
      required: ['city'],
      additionalProperties: false,
    },
  },
};

const colour = {
  type: 'object',
  properties: { name: { enum: ['red', 'blue'] } },
  required: ['name'],
  additionalProperties: false,
};

async function textOf(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
  return text;
}

async function idle() {
  for (let i = 0; i < 200; i++) {
    const { data } = await (await fetch(`${url}/stats`)).json();
    if (data.live === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the server still works for a client that has left');
}

const openai = {
  async 'plain and stream'() {
    const whole = await client.chat.completions.create(common);
    const text = await textOf(await client.chat.completions.create({ ...common, stream: true }));
    assert.ok(whole.choices[0].message.content);
    assert.equal(text, whole.choices[0].message.content);
  },

  async 'a tool, there and back'() {
    const asked = { ...common, max_tokens: 200, tools: [weather], tool_choice: 'required', parallel_tool_calls: false };
    const { message, finish_reason } = (await client.chat.completions.create(asked)).choices[0];
    assert.equal(finish_reason, 'tool_calls');
    const [call] = message.tool_calls;
    assert.ok(['Rome', 'Oslo'].includes(JSON.parse(call.function.arguments).city));
    const result = { role: 'tool', tool_call_id: call.id, content: 'Sunny.' };
    const last = await client.chat.completions.create({ ...common, messages: [...messages, message, result] });
    assert.ok(last.choices[0].message.content);
  },

  async 'a tool call in a stream'() {
    const stream = client.chat.completions.stream({
      ...common, max_tokens: 200, tools: [weather], tool_choice: 'required', parallel_tool_calls: false,
    });
    const { message } = (await stream.finalChatCompletion()).choices[0];
    assert.equal(message.tool_calls[0].function.name, 'get_weather');
    assert.ok(JSON.parse(message.tool_calls[0].function.arguments).city);
  },

  async 'structured output'() {
    const response_format = { type: 'json_schema', json_schema: { name: 'colour', schema: colour, strict: true } };
    const reply = await client.chat.completions.create({ ...common, max_tokens: 100, response_format });
    assert.ok(['red', 'blue'].includes(JSON.parse(reply.choices[0].message.content).name));
  },

  async 'embeddings'() {
    const { data } = await client.embeddings.create({ model, input: ['one', 'two'] });
    const length = Math.hypot(...data[0].embedding);
    assert.ok(data.length === 2 && Math.abs(length - 1) < 1e-5, `length ${length}`);
  },

  async 'responses'() {
    const reply = await client.responses.create({ model, input: 'Hello!', max_output_tokens: 8, temperature: 0 });
    assert.ok(reply.output_text);
  },

  async 'errors are the client’s own'() {
    await assert.rejects(client.chat.completions.create({ ...common, model: 'other' }), OpenAI.NotFoundError);
    await assert.rejects(client.chat.completions.create({ ...common, temperature: 9 }), OpenAI.BadRequestError);
  },

  async 'abort'() {
    const endless = { ...common, max_tokens: 2000, stream: true, ignore_eos: true };
    for await (const _ of await client.chat.completions.create(endless)) break;
    await idle();
  },
};

const provider = createOpenAICompatible({
  name: 'cllm',
  baseURL: `${url}/v1`,
  apiKey: 'none',
  supportsStructuredOutputs: true,
});
const ask = { model: provider(model), prompt: 'Name three colours.', temperature: 0, maxOutputTokens: 16, maxRetries: 0 };

const ai = {
  async 'plain and stream'() {
    const { text, usage } = await generateText(ask);
    let streamed = '';
    for await (const piece of streamText(ask).textStream) streamed += piece;
    assert.ok(text && usage.outputTokens > 0);
    assert.equal(streamed, text);
  },

  async 'a tool, there and back'() {
    const tools = {
      get_weather: tool({
        description: 'The weather of a town',
        inputSchema: z.object({ city: z.enum(['Rome', 'Oslo']) }),
        execute: async ({ city }) => `Sunny in ${city}.`,
      }),
    };
    const { steps } = await generateText({
      ...ask, maxOutputTokens: 200, tools, toolChoice: 'required', stopWhen: isStepCount(2),
    });
    assert.match(steps[0].toolResults[0].output, /^Sunny in (Rome|Oslo)\.$/);
    assert.equal(steps.length, 2);
  },

  async 'structured output'() {
    const output = Output.object({ schema: z.object({ name: z.enum(['red', 'blue']) }) });
    const result = await generateText({ ...ask, maxOutputTokens: 100, output });
    assert.ok(['red', 'blue'].includes(result.output.name));
  },

  async 'errors are told'() {
    await assert.rejects(generateText({ ...ask, model: provider('other') }), (e) => e.statusCode === 404);
  },

  async 'abort'() {
    const control = new AbortController();
    const { textStream } = streamText({ ...ask, maxOutputTokens: 2000, abortSignal: control.signal });
    for await (const _ of textStream) {
      control.abort();
      break;
    }
    await idle();
  },
};

for (const [name, checks] of Object.entries({ openai, ai })) {
  for (const [what, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok ${name}: ${what}`);
    } catch (e) {
      console.log(`not ok ${name}: ${what}: ${String(e?.message ?? e).replace(/\s+/g, ' ').slice(0, 300)}`);
      process.exitCode = 1;
    }
  }
}
