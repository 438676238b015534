// `node stream.js URL TEXT`: prints the streamed answers of JavaScript's clients to TEXT, one after the other, all asked at once.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { streamText } from 'ai';
import OpenAI from 'openai';

const [url, content] = process.argv.slice(2);
const baseURL = `${url}/v1`;
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
const model = (await client.models.list()).data[0].id;

async function openai() {
  let text = '';
  const messages = [{ role: 'user', content }];
  const stream = await client.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0, stream: true });
  for await (const chunk of stream) text += chunk.choices[0].delta.content ?? '';
  return text;
}

async function ai() {
  const provider = createOpenAICompatible({ name: 'cllm', baseURL });
  return streamText({ model: provider(model), prompt: content, maxOutputTokens: 8, temperature: 0, maxRetries: 0 }).text;
}

console.log(JSON.stringify(await Promise.all([openai(), ai()])));
