<?php
require 'Psr/Http/Message/autoload.php';
require 'GuzzleHttp/autoload.php';
spl_autoload_register(function (string $class) {
    $file = getenv('CLIENT') . '/lib/' . str_replace(['Sigpersist\\', '\\'], ['', '/'], $class) . '.php';
    if (is_file($file)) require $file;
});

use Sigpersist\Api\SignaturesApi;
use Sigpersist\ApiException;
use Sigpersist\Configuration;
use Sigpersist\Model\SaveSignatureRequest;

function data(string $name): string {
    return trim(file_get_contents(getenv('DATA') . "/$name.cms.b64"));
}

$configuration = (new Configuration())->setHost(getenv('URL'))->setAccessToken(getenv('TOKEN'));
$signatures = new SignaturesApi(new GuzzleHttp\Client(), $configuration);
$save = fn (int $version, string $cms, array $tags) => $signatures->saveSignature(new SaveSignatureRequest(
    ['document' => 'php', 'thread' => 't', 'version' => $version, 'cms' => $cms, 'tags' => $tags]
))->getContent()->getSignature();

echo 'saved version ', $save(0, data('first'), ['draft'])->getVersion(), "\n";
echo 'saved version ', $save(1, data('countersigned'), ['signed'])->getVersion(), "\n";
try {
    $save(1, '<Late/>', []);
} catch (ApiException $error) {
    $failure = $error->getResponseObject();
    echo $error->getCode(), ' ', $failure->getCode(), ': ', $failure->getMessage(), "\n";
}
$current = $signatures->getSignature('php', 't')->getContent()->getSignature();
echo 'current: version ', $current->getVersion(), ', the same bytes: ', var_export($current->getSignature() === data('countersigned'), true), "\n";
$page = $signatures->listSignatures(document: 'php', limit: 10)->getContent();
echo 'listed: ', count($page->getSignatures()), "\n";
